"""What every test shares: a user's folders of its own, no screen, one thread for torch."""

import os
import signal
import sys

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's background job ignores Ctrl-C, one under nohup SIGHUP, and so would every program that is started here and
# gets one of them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


LONGEST = (
    "test_cli.py", "test_window.py", "test_generate.py", "test_fit.py", "test_morph.py", "test_keys.py",
    "test_nnss.py", "test_session.py", "test_ends.py", "test_client.py", "test_editing.py", "test_evaluate.py",
)  # fmt: skip
"""Files that begin first, so that no worker is left alone with one of them at the end."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def move_home(patch, home):
    """What is started from here on keeps its settings, instruments and caches there."""
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        patch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    patch.delenv("MUSICNN_INSTRUMENTS", raising=False)


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's own settings, instruments or caches."""
    home = tmp_path_factory.mktemp("home")
    move_home(monkeypatch, home)
    return home


@pytest.fixture(autouse=True)
def denormals_kept():
    """Whatever an earlier test has played through this thread: hypothesis wants floats as they are by default."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session", autouse=True)
def pictures_of_their_own(tmp_path_factory):
    """matplotlib keeps a list of fonts in the user's folder otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.mktemp("matplotlib")))
        yield
