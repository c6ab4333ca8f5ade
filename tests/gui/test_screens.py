"""The window on screens of many sizes. Qt's offscreen plugin has one of 800 x 800 pixels; others are calculated."""

import pytest
from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QPointingDevice
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from engine.knobs import KNOBS
from musicnn_gui.screens import FRAME, first_size, fitted, keep_on_screen
from musicnn_gui.session import Session
from musicnn_gui.settings import Settings
from musicnn_gui.widgets.knob import KnobWidget
from musicnn_gui.window import FIRST, SMALLEST, MainWindow, _packed

SCREENS = {
    "1366 x 768": (1366, 768), "1366 x 768 at 150 %": (911, 512), "1920 x 1080 at 150 %": (1280, 720),
    "1920 x 1080 at 200 %": (960, 540), "3840 x 2160 at 250 %": (1536, 864), "1280 x 720": (1280, 720),
    "1024 x 600": (1024, 600),
}  # fmt: skip


@pytest.fixture
def window(qtbot, themed):
    """The window of a session whose engine does not run: only its layout is of interest."""
    window = MainWindow(Session(Settings()))
    yield window
    window.close()
    window.session.close()
    window.deleteLater()


@pytest.mark.parametrize("screen", SCREENS)
def test_the_first_window_fits_the_screen_with_its_frame(screen):
    available = QRect(0, 0, *SCREENS[screen])
    size = first_size(FIRST, SMALLEST, available)
    assert available.contains(QRect(QPoint(), size.grownBy(FRAME)))
    assert size.width() >= SMALLEST.width() and size.height() >= SMALLEST.height()


def test_the_first_window_is_no_larger_than_wanted():
    assert first_size(FIRST, SMALLEST, QRect(0, 0, 3840, 2160)) == FIRST


@pytest.mark.parametrize(
    "frame",
    [(-500, -500, 900, 500), (5000, 100, 900, 500), (100, 5000, 900, 500), (0, 0, 4000, 3000), (200, 30, 900, 500)],
)
def test_a_window_is_brought_back_to_the_screen(frame):
    available = QRect(0, 24, 1366, 744)
    target = fitted(QRect(*frame), available)
    assert available.contains(target)
    if available.contains(QRect(*frame)):
        assert target == QRect(*frame)


def test_nothing_is_cut_in_a_small_window(qtbot, window):
    window.show()
    qtbot.wait(20)
    scroll = window.centralWidget()
    body = scroll.widget()
    for size in ((880, 430), (900, 500), (911, 482), (960, 510), (1366, 740)):
        window.resize(*size)
        qtbot.wait(20)
        assert window.size() == QSize(*size)
        assert (scroll.horizontalScrollBar().maximum(), scroll.verticalScrollBar().maximum()) == (0, 0)
        assert body.width() >= body.layout().minimumSize().width()
        assert body.height() >= body.layout().minimumSize().height()
        for widget in window.findChildren(QWidget):
            takes = widget.focusPolicy() & Qt.FocusPolicy.TabFocus
            inner = window.knobs.isAncestorOf(widget) or window.transport.tracks.isAncestorOf(widget)
            if takes and widget.isVisibleTo(window) and not inner:
                rect = widget.rect().translated(widget.mapTo(window, QPoint()))
                assert window.rect().contains(rect), (size, widget.accessibleName(), rect)


def test_a_still_smaller_window_scrolls_to_everything(qtbot, window):
    window.show()
    qtbot.wait(20)
    window.resize(480, 320)
    qtbot.wait(20)
    assert window.size() == QSize(480, 320)
    scroll = window.centralWidget()
    for widget in (window.header.mute, window.devices.rescan, window.keyboard.piano, window.header.menu_button):
        scroll.ensureWidgetVisible(widget, 0, 0)
        assert widget.visibleRegion().boundingRect().width() >= min(widget.width(), 400), widget.accessibleName()


def test_a_place_on_a_screen_that_is_gone_is_not_restored(qtbot, window):
    window.show()
    window.setGeometry(QRect(6000, 5000, 900, 500))
    settings = Settings(geometry=_packed(window.saveGeometry()))
    again = MainWindow(Session(settings))
    again.open()
    qtbot.wait(50)
    room = again.screen().availableGeometry()
    room.setSize(room.size().expandedTo(SMALLEST))
    assert room.contains(again.geometry())
    again.close()
    again.session.close()
    again.deleteLater()


def test_a_window_in_its_place_stays_there(qtbot):
    window = QWidget()
    window.setGeometry(QRect(30, 40, 300, 200))
    window.show()
    keep_on_screen(window, QSize(100, 100))
    assert window.geometry() == QRect(30, 40, 300, 200)
    window.close()


def test_a_finger_turns_a_knob(qtbot, themed):
    knob, turned = KnobWidget(KNOBS["tune"]), []
    knob.turned.connect(turned.append)
    knob.show()
    screen = QTest.createTouchDevice(QPointingDevice.DeviceType.TouchScreen)
    QTest.touchEvent(knob, screen).press(0, QPoint(30, 60), knob).commit()
    for height in (50, 40, 30):
        QTest.touchEvent(knob, screen).move(0, QPoint(30, height), knob).commit()
        QApplication.processEvents()
    QTest.touchEvent(knob, screen).release(0, QPoint(30, 30), knob).commit()
    assert turned == sorted(turned) and knob.value == pytest.approx(KNOBS["tune"].to_value(0.5 + 30 / 200))
    knob.close()
