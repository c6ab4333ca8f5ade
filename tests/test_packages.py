"""What is installed: every package of the source tree, not only those that an editable installation finds anyway."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOP = ("engine", "training", "musicnn_gui")


def test_every_package_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {".".join(file.parent.relative_to(ROOT).parts) for top in TOP for file in (ROOT / top).rglob("__init__.py")}
    assert set(listed) == found | {"trained"} and len(listed) == len(set(listed))
