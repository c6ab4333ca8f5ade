"""Titles of MIDI files, which say nothing of their encoding, as readable text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

LONGEST_TEXT = 200  # characters
LONGEST_BYTES = 2000  # of a text that are looked at
KANA, KANJI, HANGUL = range(0x3041, 0x30FF), range(0x4E00, 0x9FA6), range(0xAC00, 0xD7A4)
HALF_WIDTH, CYRILLIC = range(0xFF61, 0xFFA0), range(0x0410, 0x0450)


_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # of terminals


def decode_texts(texts: Sequence[bytes]) -> list[str]:
    """The texts of one file. They are taken to have one encoding, which is found from all of them."""
    cut = [_without_padding(text[:LONGEST_BYTES]) for text in texts]
    foreign = b" ".join(text for text in cut if _unmistakable(text) is None)
    codec = _plausible(foreign) if foreign else "latin-1"
    return [clean(_unmistakable(text) or _decode(text, codec)) for text in cut]


def _without_padding(text: bytes) -> bytes:
    """Zeros at the end are left out, but for the half of a letter of UTF-16."""
    kept = text.rstrip(b"\0")
    return kept + b"\0" if len(kept) % 2 and kept.count(0) and len(kept) < len(text) else kept


def clean(text: str) -> str:
    """One line without control characters, and not too long."""
    text = _ESCAPES.sub("", text)
    kept = "".join(" " if letter.isspace() else letter for letter in text if letter.isspace() or _shown(letter))
    line = " ".join(kept.split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1].rstrip() + "…"


def _shown(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn") and letter != "\ufffd"


def _unmistakable(text: bytes) -> str | None:
    """The text where its bytes leave no doubt: UTF-16 with a mark or with zeros, or UTF-8."""
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return text.decode("utf-16", "ignore")
    if len(text) >= 4:
        for codec, zeros in (("utf-16-le", text[1::2]), ("utf-16-be", text[0::2])):
            if zeros.count(0) > len(zeros) / 2:
                return text.decode(codec, "ignore")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start >= LONGEST_BYTES - 4 and error.reason.startswith("unexpected end"):
            return text[: error.start].decode("utf-8-sig")
    return None


def _decode(text: bytes, codec: str) -> str:
    try:
        return text.decode(codec)
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _plausible(text: bytes) -> str:
    """The codec whose letters look most like a language."""
    best, most = "latin-1", float("-inf")
    for codec, score in _CODECS:
        try:
            decoded = text.decode(codec)
        except UnicodeDecodeError:
            continue
        points = score(decoded) / max(1, sum(ord(letter) > 0x7F for letter in decoded))
        if points > most:
            best, most = codec, points
    return best


def _points_japanese(text: str) -> float:
    """Kana are certain, half-width ones are what other encodings look like, kanji beside plain letters too."""
    points = 0.0
    for before, letter, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if ord(letter) in KANA:
            points += 2
        elif ord(letter) in KANJI or "\u3000" <= letter <= "\u303f":
            points += -0.3 if _plain(before) or _plain(after) else 1
        elif ord(letter) in HALF_WIDTH:
            points -= 1
    return points


def _plain(letter: str) -> bool:
    return letter.isascii() and letter.isalpha()


def _points_chinese(text: str) -> float:
    """Only the first level, sorted by sound, is common."""
    return sum(0.9 if ord(letter) in KANJI and 0xB0 <= letter.encode("gbk", "replace")[0] <= 0xD7 else -0.5
               for letter in text if ord(letter) > 0x7F)  # fmt: skip


def _points_korean(text: str) -> float:
    return sum(1.1 if ord(letter) in HANGUL else -0.5 for letter in text if ord(letter) > 0x7F)


def _points_cyrillic(text: str) -> float:
    """Words of nothing else, whose capitals stand at the beginning or everywhere."""
    points = 0.0
    for word in text.split():
        letters = "".join(letter for letter in word if letter.isalpha())
        own = [letter for letter in letters if ord(letter) in CYRILLIC or letter in "ёЁ"]
        other = sum(ord(letter) > 0x7F for letter in word) - len(own)
        natural = letters.islower() or letters.isupper() or letters == letters.capitalize()
        points += (1.3 if natural and len(own) == len(letters) and len(own) > 1 else -0.3) * len(own) - other
    return points


def _points_western(text: str) -> float:
    """Accented letters stand between plain ones, two of them at most beside each other."""
    points = 0.0
    for before, letter, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if letter.isascii():
            continue
        small = letter.islower() or before.isspace() or before.isupper() or after.isupper()
        if letter in _WESTERN and small and (_plain(before) or _plain(after)):
            points += 1.2 if before.isascii() and after.isascii() else 0.8
        elif letter in _WESTERN and small and before.isascii() and after.isascii():
            points += 0.3
        else:
            points += 0.6 if letter in _SIGNS else -0.5
    return points


_SIGNS = frozenset("“”\u2018\u2019\u2013—…©®°«»¡¿")
_WESTERN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßŒœŠšŽž")
_CODECS: tuple[tuple[str, Callable[[str], float]], ...] = (
    ("cp932", _points_japanese),
    ("cp1251", _points_cyrillic),
    ("cp1252", _points_western),
    ("koi8_r", lambda text: _points_cyrillic(text) * 0.9),
    ("euc_jp", lambda text: _points_japanese(text) * 0.9),
    ("euc_kr", _points_korean),
    ("gb18030", _points_chinese),
)
