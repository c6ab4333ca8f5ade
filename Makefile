# `make play` installs what playing needs and opens the window; `make test` installs everything and checks it.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
NATIVE := $(wildcard engine/native/*.h engine/native/*.cpp) engine/native/CMakeLists.txt
COMPILER = @command -v c++ >/dev/null || { echo "MusicNN needs a C++ compiler: install g++, and try again"; exit 1; }
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: play setup test check sanitize bench clean

play: $(VENV)/.play
	$(BIN)/musicnn

setup: $(VENV)/.dev

# Sound servers and the programs on them have a process of their own, and the machine to themselves.
test: setup check
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/live
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -q tests/live

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror engine/native/*.h engine/native/*.cpp tests/native/*.cpp

# Native voices under sanitizers: random events while threads write ahead. Takes some minutes.
sanitize: build/stress-thread build/stress-address
	build/stress-thread 60 1
	build/stress-address 60 2

build/stress-%: tests/native/stress.cpp $(NATIVE)
	@mkdir -p build
	$(CXX) -std=c++20 -O1 -g -fsanitize=$* -fno-omit-frame-pointer -pthread -DMUSICNN_PLAIN -Iengine/native \
	  $< $(filter-out engine/native/module.cpp engine/native/kernels_avx%,$(filter %.cpp,$(NATIVE))) -o $@

bench: setup
	$(BIN)/musicnn bench voices
	$(BIN)/musicnn bench render
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -q -s --override-ini addopts= tests/bench

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@sh scripts/system_packages.sh python
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	  || { echo "MusicNN needs Python 3.11 or 3.12: name one with 'make PYTHON=/path/to/python3.11 ...'"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.play: pyproject.toml scripts/system_packages.sh $(NATIVE) | $(VENV)/bin/python
	@sh scripts/system_packages.sh play
	$(COMPILER)
	$(BIN)/python -m pip install -q -e .
	@touch $@

$(VENV)/.dev: pyproject.toml scripts/system_packages.sh $(NATIVE) | $(VENV)/bin/python
	@sh scripts/system_packages.sh play test
	$(COMPILER)
	$(BIN)/python -m pip install -q -e '.[training,dev]' -C cmake.define.MUSICNN_STRICT=ON
	@touch $@ $(VENV)/.play
