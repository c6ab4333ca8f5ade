import math

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest

from engine.description import SAMPLE_RATE
from musicnn_gui.gallery import chirp
from musicnn_gui.widgets.spectrogram import LEFT, SpectrogramView, reading
from musicnn_gui.widgets.spectrum import (
    AXES,
    BINS,
    COLOUR_MAPS,
    HOP,
    LENGTH,
    RowMap,
    SpectrogramOptions,
    Spectrum,
    colour_table,
    hz_at,
    level_db,
    share_of,
)

HZ = 46 * SAMPLE_RATE / LENGTH  # the middle of a bin


def sine(hz, seconds=1.0, gain=1.0):
    return (gain * np.sin(2 * np.pi * hz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


@pytest.fixture
def view(qtbot, themed):
    view = SpectrogramView("A sine", SAMPLE_RATE)
    qtbot.addWidget(view)
    view.resize(400, 220)
    view.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # no frame around the picture
    view.show()
    return view


@pytest.mark.parametrize("gain_db", [0, -20, -60])
def test_a_sine_stands_at_its_bin_and_level(gain_db):
    columns = Spectrum().push(sine(HZ, gain=10 ** (gain_db / 20)))[8:]
    assert (columns.argmax(axis=1) == 46).all()
    assert level_db(float(columns.max())) == pytest.approx(gain_db, abs=0.5)


def test_blocks_make_the_same_columns_as_the_whole():
    signal, spectrum = chirp(1.0), Spectrum()
    parts = np.concatenate([spectrum.push(signal[start : start + 735]) for start in range(0, len(signal), 735)])
    assert np.array_equal(parts, Spectrum().push(signal)[: len(parts)])
    assert len(parts) == len(signal) // HOP


@pytest.mark.parametrize("axis", AXES)
def test_axes_go_there_and_back(axis):
    for hz in (30.0, 100.0, 440.0, 5000.0, 20_000.0):
        assert hz_at(share_of(hz, axis), axis) == pytest.approx(hz)
    assert share_of(30, axis) == 0
    assert share_of(20_000, axis) == pytest.approx(1)


def test_mel_is_linear_below_and_logarithmic_above():
    assert share_of(200, "mel") - share_of(100, "mel") > 0.8 * (share_of(300, "mel") - share_of(200, "mel"))
    assert share_of(100, "linear") < share_of(100, "mel") < share_of(100, "log")


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("rows", [40, 200, 900])
def test_a_sine_is_brightest_in_its_row(axis, rows):
    columns = Spectrum().push(sine(HZ))[8:]
    shown = RowMap(axis, rows, SAMPLE_RATE).rows(columns)
    assert shown.shape == (len(columns), rows)
    bin_high = abs(share_of(HZ + SAMPLE_RATE / LENGTH, axis) - share_of(HZ, axis)) * rows
    assert abs(shown.argmax(axis=1) - (share_of(HZ, axis) * rows - 0.5)).max() <= 1 + bin_high / 2


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_colour_maps_grow_brighter_from_floor_to_top(name):
    table = colour_table(name, -100, -20)
    light = sum(share * (table >> shift & 255).astype(float) for share, shift in ((0.3, 16), (0.6, 8), (0.1, 0)))
    assert (np.diff(light) >= -1.5).all()
    assert light[0] == light[(127 - 100) * 2]
    assert light[-1] == light[int((127.5 - 20) * 2)]


def pixels(view):
    image = view.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    return np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), -1)[:, : image.width()].copy()


def test_the_picture_shows_the_tone_at_its_height(view):
    view.push(sine(1000.0))
    picture = view.picture
    column = pixels(view)[: picture.height(), picture.right() - 5]
    light = (column >> 16 & 255) + (column >> 8 & 255)
    assert abs(int(light.argmax()) - (1 - share_of(1000, "log")) * picture.height()) <= 2


def test_scrolling_moves_what_was_heard_to_the_left(view):
    view.push(sine(1000.0, 0.5))
    before = pixels(view)
    count = 20
    view.push(np.zeros(count * HOP, np.float32))
    after = pixels(view)
    high, right = view.picture.height(), view.picture.right() + 1
    below = slice(24, high)  # the title does not scroll
    assert np.array_equal(after[below, LEFT : right - count], before[below, LEFT + count : right])


def test_another_size_axis_or_range_keeps_what_was_heard(view):
    view.push(chirp(2.0))
    before = pixels(view)
    view.set_options(SpectrogramOptions(axis="linear", floor_db=-60, top_db=0, colours="ice"))
    assert not np.array_equal(pixels(view), before)
    view.resize(300, 150)
    view.resize(400, 220)
    view.set_options(SpectrogramOptions())
    assert np.array_equal(pixels(view), before)


def test_a_frozen_view_stands_still(view):
    view.push(chirp(1.0))
    view.frozen = True
    before = pixels(view)
    view.push(sine(3000.0))
    assert np.array_equal(pixels(view), before)


def test_hovering_reads_time_frequency_and_level(qtbot, view):
    view.push(sine(HZ, gain=0.1))
    picture = view.picture
    y = picture.bottom() - round(share_of(HZ, "log") * picture.height())
    with qtbot.waitSignal(view.hovered) as hovered:
        QTest.mouseMove(view, QPoint(picture.right() - 20, y))
    seconds, hz = hovered.args
    assert seconds == pytest.approx(20 * HOP / SAMPLE_RATE)
    assert hz == pytest.approx(HZ, rel=0.05)
    assert view.level_at(seconds, hz) == pytest.approx(-20, abs=1)
    assert view.level_at(seconds, 8000) < -80


def test_arrow_keys_read_as_well(qtbot, view):
    view.set_cursor(1.0, 440.0)
    with qtbot.waitSignal(view.hovered) as hovered:
        QTest.keyClick(view, Qt.Key.Key_Up)
    assert hovered.args == [1.0, pytest.approx(466.16, abs=0.01)]
    with qtbot.waitSignal(view.hovered) as hovered:
        QTest.keyClick(view, Qt.Key.Key_Delete)
    assert math.isnan(hovered.args[0])


def test_readings_in_words():
    assert reading(0.5, 440.0) == "-0.50 s   440 Hz   A4 +0 ct"
    assert reading(0.0, 261.63 * 2 ** (1 / 24)).endswith(("C4 +50 ct", "C#4 -50 ct"))


def test_history_is_longer_than_a_wide_window(view):
    view.resize(2400, 300)
    view.push(chirp(1.0))
    assert view._pixels.shape[1] == view.picture.width()
    assert view._history.shape[1] == BINS
