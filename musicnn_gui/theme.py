"""Colours and measures: Qt's own palette in dark, one accent, and a style sheet that speaks of palette roles only."""

from __future__ import annotations

from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import QApplication

from musicnn_gui.assets import ARROW

BACKGROUND = QColor(19, 21, 25)
PANEL = QColor(28, 31, 37)
RAISED = QColor(41, 45, 54)
EDGE = QColor(56, 61, 72)
TEXT = QColor(228, 231, 236)
FAINT = QColor(149, 157, 171)
DISABLED = QColor(88, 94, 106)
ACCENT = QColor(94, 190, 255)
WARM = QColor(255, 176, 84)
ALARM = QColor(255, 92, 92)
LIT_KEY = ACCENT
TRACKS = (
    ACCENT, QColor(255, 176, 84), QColor(130, 220, 150), QColor(236, 130, 190),
    QColor(180, 160, 255), QColor(240, 222, 110), QColor(110, 220, 215), QColor(240, 140, 120),
)  # fmt: skip
"""Colours of the tracks of a score, used again from the ninth on."""

SPACE = 8
"""Pixels between panels; half of it between what belongs together."""
RADIUS = 5.0
CONTROL_HEIGHT = 26
SMALL_POINTS = 8.0

_SHEET = """
QToolTip { padding: 5px 7px; border: 1px solid palette(mid); background: palette(button); color: palette(text); }
QComboBox, QSpinBox, QDoubleSpinBox, QLineEdit, QPushButton {
    background: palette(button); border: 1px solid palette(mid); border-radius: 5px;
    padding: 2px 8px; min-height: 20px; selection-background-color: palette(highlight);
}
QComboBox:hover, QSpinBox:hover, QDoubleSpinBox:hover, QLineEdit:hover, QPushButton:hover {
    border-color: palette(placeholder-text);
}
QComboBox:focus, QSpinBox:focus, QDoubleSpinBox:focus, QLineEdit:focus, QPushButton:focus {
    border-color: palette(highlight);
}
QPushButton:pressed, QPushButton:checked { background: palette(mid); }
QComboBox:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled, QPushButton:disabled {
    color: palette(mid); background: palette(base);
}
QComboBox::drop-down { width: 18px; border: 0; }
QComboBox::down-arrow { image: url(ARROW); width: 12px; height: 12px; }
QSpinBox, QDoubleSpinBox { padding: 2px 4px; }
QAbstractSpinBox QLineEdit { border: 0; padding: 0 5px; min-height: 0; background: transparent; }
QSpinBox::up-button, QSpinBox::down-button { subcontrol-origin: border; width: 0px; height: 0px; border: 0; }
QComboBox QAbstractItemView, QMenu, QListWidget, QPlainTextEdit, QTextBrowser {
    background: palette(base); border: 1px solid palette(mid); border-radius: 5px; outline: 0;
    selection-background-color: palette(highlight); selection-color: palette(highlighted-text);
}
QMenu { padding: 4px; }
QMenu::item { padding: 5px 22px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: palette(highlight); color: palette(highlighted-text); }
QMenu::item:disabled { color: DIM; }
QMenu::separator { height: 1px; background: palette(mid); margin: 4px 8px; }
QListWidget::item { padding: 5px 8px; border-radius: 4px; }
QListWidget::item:selected { background: palette(highlight); color: palette(highlighted-text); }
QScrollBar { background: transparent; border: 0; margin: 0; }
QScrollBar:vertical { width: 10px; }
QScrollBar:horizontal { height: 10px; }
QScrollBar::handle { background: palette(mid); border-radius: 4px; margin: 1px; }
QScrollBar::handle:hover { background: palette(placeholder-text); }
QScrollBar::handle:vertical { min-height: 24px; }
QScrollBar::handle:horizontal { min-width: 24px; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QScrollArea { background: transparent; border: 0; }
QProgressBar {
    background: palette(base); border: 1px solid palette(mid); border-radius: 5px; text-align: center; min-height: 18px;
}
QProgressBar::chunk { background: palette(highlight); border-radius: 4px; }
QSplitter::handle { background: transparent; }
QSplitter::handle:hover { background: palette(mid); }
"""


def apply_theme(app: QApplication) -> None:
    """Dark Fusion."""
    app.setStyle("Fusion")
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: BACKGROUND, QPalette.ColorRole.Base: PANEL,
        QPalette.ColorRole.AlternateBase: RAISED, QPalette.ColorRole.Button: RAISED,
        QPalette.ColorRole.Text: TEXT, QPalette.ColorRole.WindowText: TEXT, QPalette.ColorRole.ButtonText: TEXT,
        QPalette.ColorRole.ToolTipBase: RAISED, QPalette.ColorRole.ToolTipText: TEXT,
        QPalette.ColorRole.PlaceholderText: FAINT, QPalette.ColorRole.Highlight: ACCENT,
        QPalette.ColorRole.HighlightedText: BACKGROUND, QPalette.ColorRole.Link: ACCENT,
        QPalette.ColorRole.Mid: EDGE, QPalette.ColorRole.Dark: BACKGROUND, QPalette.ColorRole.Light: EDGE,
        QPalette.ColorRole.BrightText: ALARM,
    }  # fmt: skip
    for role, colour in roles.items():
        palette.setColor(role, colour)
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.WindowText, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, DISABLED)
    app.setPalette(palette)
    app.setStyleSheet(_SHEET.replace("ARROW", ARROW.as_posix()).replace("DIM", DISABLED.name()))


def small_font(font: QFont, points: float = SMALL_POINTS, bold: bool = False) -> QFont:
    """The same font in a small size, for what stands beside a control."""
    small = QFont(font)
    small.setPointSizeF(points)
    small.setBold(bold)
    return small


def blend(colour: QColor, other: QColor, share: float) -> QColor:
    """A colour between two: 0 is the first, 1 the other."""
    return QColor(
        round(colour.red() + (other.red() - colour.red()) * share),
        round(colour.green() + (other.green() - colour.green()) * share),
        round(colour.blue() + (other.blue() - colour.blue()) * share),
    )
