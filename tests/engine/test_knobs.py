import re
from pathlib import Path

import pytest

from engine.knobs import KNOBS, parse_settings

DOCS = Path(__file__).parents[2] / "docs" / "knobs.md"


def test_the_documentation_tells_every_knobs_range_and_default():
    rows = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        found = re.match(r"\| `(\w+)`.*?\| (\w+) \| (\S+) \.\.\. (\S+)(?: (\S+))? \((\S+)\) \|", line)
        if found:
            rows[found[1]] = (found[2], *(float(found[i]) for i in (3, 4, 6)), found[5] or "")
    written = {name for name in KNOBS if not name.startswith(("latent", "slider"))} | {"latent1", "slider1"}
    assert set(rows) == written
    for name, (group, low, high, default, unit) in rows.items():
        knob = KNOBS[name]
        assert (group, low, high, default) == (knob.group, knob.low, knob.high, knob.default)
        assert unit.replace("octave", "oct") == knob.unit


def test_settings_are_read():
    assert parse_settings(["body=-6", "breath=0.5"], ("body", "breath")) == {"body": -6.0, "breath": 0.5}


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("body", "needs '='"),
        ("body=x", "number"),
        ("body=99", "goes from"),
        ("bodies=1", "no knob"),
        ("body=nan", "goes from"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_said(setting, says):
    with pytest.raises(ValueError, match=says):
        parse_settings([setting], ("body",))
