"""Colours, from Qt's own palette roles, and the few that Qt has no role for."""

from __future__ import annotations

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

BACKGROUND = QColor(24, 26, 31)
PANEL = QColor(33, 36, 43)
RAISED = QColor(45, 49, 58)
TEXT = QColor(222, 225, 231)
FAINT = QColor(140, 147, 160)
ACCENT = QColor(94, 190, 255)
WARM = QColor(255, 170, 80)
ALARM = QColor(255, 95, 95)
LIT_KEY = ACCENT


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
    }  # fmt: skip
    for role, colour in roles.items():
        palette.setColor(role, colour)
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.WindowText, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(95, 100, 110))
    app.setPalette(palette)
    app.setStyleSheet("QToolTip { padding: 4px; border: 1px solid #5ebeff; }")
