"""Dialogs: save a preset, about with licences, keys, and what is said when the program has failed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from musicnn_gui.crash import CrashReport
from musicnn_gui.theme import FAINT

LIBRARIES = (
    "mido", "numpy", "platformdirs", "PySide6-Essentials", "python-rtmidi", "rtmixer", "safetensors", "sounddevice",
    "soundfile", "soxr", "torch",
)  # fmt: skip
"""What the program is made with; versions and licences are read from what is installed."""

ABOUT = """
<h2>MusicNN {version}</h2>
<p>An instrument whose sound a neural network makes while you play. For every key two sine waves are written, one that
says which note and one that says how long ago; a network hears them and writes the sound.</p>
<p>MusicNN is free software under the Apache License 2.0. The idea is that of nnss (Neural Network applied to Spectral
Synthesis). The shipped instruments were fitted to Frank Wen's FluidR3 (MIT). The demo is by J. S. Bach, written out by
the project. The colour maps are matplotlib's (CC0).</p>
<h3>Made with</h3><table cellspacing="4">{rows}</table>
"""


class SavePresetDialog(QDialog):
    """Title, author and comment of a preset."""

    def __init__(self, title: str, author: str, comment: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Save preset")
        self.title, self.author, self.comment = QLineEdit(title), QLineEdit(author), QPlainTextEdit(comment)
        self.comment.setFixedHeight(80)
        self.comment.setTabChangesFocus(True)
        form = QFormLayout()
        for name, field in (("Title", self.title), ("Author", self.author), ("Comment", self.comment)):
            field.setAccessibleName(name)
            form.addRow(name, field)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.buttons)
        self.title.textChanged.connect(self._check)
        self.title.selectAll()
        self.setMinimumWidth(380)
        self._check()

    @property
    def words(self) -> tuple[str, str, str]:
        """Title, author, comment."""
        return self.title.text().strip(), self.author.text().strip(), self.comment.toPlainText().strip()

    def _check(self) -> None:
        self.buttons.button(QDialogButtonBox.StandardButton.Save).setEnabled(bool(self.title.text().strip()))


class TextDialog(QDialog):
    """Words to read."""

    def __init__(self, title: str, html: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = QTextBrowser()
        self.text.setOpenExternalLinks(True)
        self.text.setHtml(html)
        self.text.setAccessibleName(title)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(self.text)
        column.addWidget(buttons)
        self.resize(560, 520)


def about_html(version: str) -> str:
    """What the program is, whose work is in it, and under which licences."""
    rows = "".join(
        f"<tr><td><b>{name}</b></td><td>{number}</td><td>{licence}</td></tr>" for name, number, licence in libraries()
    )
    return ABOUT.format(version=version, rows=rows)


def libraries() -> list[tuple[str, str, str]]:
    """Name, version and licence of every library that is installed."""
    found = []
    for name in LIBRARIES:
        try:
            about = metadata(name)
        except PackageNotFoundError:
            continue
        licence = _first(about, "License-Expression") or _classified(about.get_all("Classifier") or [])
        licence = licence or _first(about, "License") or "see its package"
        found.append((name, about["Version"], licence))
    return found


def _first(about: PackageMetadata, name: str) -> str:
    """First line of a field; "" where there is none."""
    return about[name].splitlines()[0] if name in about else ""


def _classified(classifiers: Sequence[str]) -> str:
    parts = [text.split(" :: ") for text in classifiers if text.startswith("License :: ")]
    return ", ".join(part[-1] for part in parts if len(part) > 2)


def keys_html(groups: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> str:
    """A table of keys: groups of (key, what it does)."""
    parts = []
    for title, rows in groups:
        lines = "".join(f"<tr><td width='150'><b>{key}</b></td><td>{text}</td></tr>" for key, text in rows)
        parts.append(f"<h3 style='color:{FAINT.name()}'>{title}</h3><table cellspacing='3'>{lines}</table>")
    return "".join(parts)


def crash_dialog(report: CrashReport, parent: QWidget | None) -> QMessageBox:
    """Says that something nobody expected has happened, and where the log is. The sound plays on."""
    box = QMessageBox(QMessageBox.Icon.Critical, report.title, report.text, parent=parent)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.setDetailedText(report.details)
    box.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    show = QPushButton("Show the log")
    show.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(report.log))))
    box.addButton(show, QMessageBox.ButtonRole.ActionRole)
    box.addButton(QMessageBox.StandardButton.Close)
    box.setModal(False)
    return box
