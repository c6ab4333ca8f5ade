"""What is remembered of an `EditState` between two starts. A settings file is never trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from engine.knobs import KNOBS, MASTER
from engine.midi.mapping import is_free
from musicnn_gui.history import EditState
from musicnn_gui.presets import Preset, finite

if TYPE_CHECKING:
    from engine.reports import InstrumentInfo
    from musicnn_gui.settings import Settings

SIDES = ("A", "B")


def remembered(state: EditState) -> dict[str, Any]:
    """Fields of the settings."""
    return {
        "knobs": dict(state.knobs), "other_knobs": dict(state.other), "side": state.side, "locks": sorted(state.locks),
        "mapping": dict(state.mapping), "score_options": state.score.to_json(), "preset": preset_name(state.preset),
    }  # fmt: skip


def first_state(instrument: InstrumentInfo, before: EditState, settings: Settings | None) -> EditState:
    """The state that an instrument begins with: as it was remembered, or else with its knobs at their defaults.

    Master knobs, controllers and how the score is played go on from the state before.
    """
    own = {name: KNOBS[name].default for name in instrument.knobs}
    master = {name: before.knobs.get(name, KNOBS[name].default) for name in MASTER}
    if settings is None:
        knobs = own | master
        locks = before.locks & knobs.keys()
        return EditState(knobs=knobs, other=own, locks=locks, mapping=before.mapping, score=before.score, loaded=knobs)
    knobs = own | master | _known(settings.knobs, (*own, *master))
    return EditState(
        knobs=knobs, other=own | _known(settings.other_knobs, own),
        side=settings.side if settings.side in SIDES else SIDES[0],
        locks=frozenset(name for name in settings.locks if isinstance(name, str) and name in knobs),
        mapping=_mapping(settings.mapping), score=before.score, loaded=knobs,
    )  # fmt: skip


def preset_name(preset: Preset | None) -> str:
    """What a preset is found by again."""
    return "" if preset is None else str(preset.path or preset.title)


def same_preset(presets: Iterable[Preset], name: str) -> Preset | None:
    """The preset that was remembered by a name; None where it is gone."""
    return next((preset for preset in presets if preset_name(preset) == name), None)


def _known(values: Mapping[str, object], names: Iterable[str]) -> dict[str, float]:
    numbers = {name: finite(values.get(name)) for name in names}
    return {name: KNOBS[name].clip(number) for name, number in numbers.items() if number is not None}


def _mapping(values: Mapping[str, object]) -> dict[str, int]:
    return {
        name: number
        for name, number in values.items()
        if name in KNOBS and isinstance(number, int) and not isinstance(number, bool) and is_free(number)
    }
