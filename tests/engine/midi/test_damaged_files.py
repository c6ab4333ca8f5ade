"""Every file that holds notes is played; only what holds none is refused."""

import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputFileError
from engine.midi.events import Kind
from engine.midi.files import parse_score
from tests.engine.midi.smf import END, RATE, chunk, control, header, meta, number, off, on, scale, smf, sysex

ONE, TWO = scale() + END, scale(1, first=72) + END
MIXED = meta(3, b"Two") + scale() + sysex(1, 2, 3), control(7, 90, 0, 1) + scale(1, first=72) + control(64, 90, 5, 1)


def keys(score):
    return [event.number for event in score.events if event.kind is Kind.NOTE_ON]


def read(data, notes, *, said=()):
    """The score, which has so many notes and so many warnings with these words."""
    score = parse_score(data, RATE)
    assert score.notes == notes
    assert len(score.warnings) == len(said)
    for warning, words in zip(score.warnings, said, strict=True):
        assert words in warning
    return score


@pytest.mark.parametrize(
    "event",
    [meta(0x59, b"\x08\0"), meta(0x59, b"\xf0\1"), meta(0x59, b""), meta(0x51, b""), meta(0x51, b"\7\xa1"),
     meta(0x58, b""), meta(0x58, bytes(9)), meta(0x54, b""), meta(0x20, b""), meta(0x21, b""), meta(0, b""),
     meta(0x7F, bytes(300)), meta(0x6E, b"unknown"), b"\0\xff\1\x80\x80\x80\x80\3abc", sysex(*range(100)),
     b"\0\xf7\1\xf8", b"\0\xf0\2\x43\x12\0\xf7\3\x43\x12\xf7", b"\0\xf0\5\1\xff\4\1\xf7"],
)  # fmt: skip
def test_events_without_a_meaning_change_nothing(event):
    plain, score = read(smf(scale()), 8), read(smf(event + scale()), 8)
    assert score.events == plain.events


def riff(*chunks, kind=b"RMID"):
    body = kind + b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


FILE = smf(scale())
LIST, BANK = (b"LIST", b"INFOINAM\4\0\0\0abc\0"), (b"DLS ", b"MThd" + bytes(33))


@pytest.mark.parametrize(
    "data",
    [riff((b"data", FILE)), riff(LIST, (b"data", FILE)), riff((b"DISP", b"\1\0\0\0x"), (b"data", FILE), LIST),
     riff(BANK, (b"data", FILE)), bytes(128) + FILE, bytes(128) + riff((b"data", FILE)), b"\xef\xbb\xbf" + FILE,
     b"HTTP/1.1 200 OK\r\n\r\n" + FILE, FILE + bytes(100), FILE + b"\n"],
)  # fmt: skip
def test_a_file_is_found_in_what_it_is_wrapped_in(data):
    assert read(data, 8).events == read(FILE, 8).events


@pytest.mark.parametrize("length", [0, 1, 20, len(ONE) - 1, len(ONE) + 1, len(ONE) + 100, 0xFFFFFFFF])
def test_a_track_is_read_to_its_end_whatever_its_length_says(length):
    read(header() + chunk(ONE, length=length), 8)
    both = read(header(2, 1) + chunk(ONE, length=length) + chunk(TWO), 16)
    assert sorted(keys(both)) == [*range(60, 68), *range(72, 80)]
    read(header(2, 1) + chunk(TWO) + chunk(ONE, length=length), 16)


def test_a_track_without_an_end_is_whole_and_behind_the_end_nothing_sounds():
    read(header() + chunk(scale()), 8)
    read(header(2, 1) + chunk(scale()) + chunk(scale(1)), 16)
    read(header() + chunk(ONE + scale(0, first=80)), 8)
    read(header(2, 1) + chunk(ONE + scale(0, first=80)) + chunk(TWO), 16)


def test_chunks_of_other_kinds_are_passed_over_silently():
    foreign = chunk(bytes(range(200)), b"XFIH")
    assert read(header(2, 1) + foreign + chunk(ONE) + foreign + chunk(TWO) + foreign, 16).notes == 16


@pytest.mark.parametrize("count", [0, 1, 3, 9, 65535])
def test_a_header_that_counts_wrongly_is_said(count):
    read(header(count, 1) + chunk(ONE) + chunk(TWO), 16, said=["counts its tracks wrongly"])


@pytest.mark.parametrize("kind", [3, 4, 65535])
def test_a_format_that_does_not_exist_plays_together(kind):
    score = read(header(2, kind) + chunk(ONE) + chunk(TWO), 16, said=[f"format {kind}"])
    assert score.length < 2.1 * RATE


def test_a_longer_header_is_read_and_a_damaged_one_too():
    data = smf(scale())
    read(data[:4] + struct.pack(">I", 10) + data[8:14] + bytes(4) + data[14:], 8)
    read(data[:4] + struct.pack(">I", 7777) + data[8:], 8)
    read(b"MTxd" + data[4:], 8, said=["header is damaged"])
    read(data[14:], 8, said=["header is damaged"])
    read(data.replace(b"MTrk", b"MTrx"), 8, said=["name of a track"])


@pytest.mark.parametrize("share", [0.25, 0.5, 0.7, 0.9, 0.99])
def test_a_file_cut_anywhere_plays_to_the_cut(share):
    track = scale(count=36, first=40) + END
    score = parse_score(header() + chunk(track, length=len(track))[: round(share * len(track)) + 8], RATE)
    assert abs(score.notes - 36 * share) <= 1
    assert score.warnings == ("the file is cut short: it is played as far as it goes",)
    left = chunk(scale(count=32) + END)
    two = header(2, 1) + left + chunk(track)[: round(share * len(track)) + 8]
    assert abs(parse_score(two, RATE).notes - 32 - 36 * share) <= 1


def test_running_status_goes_on_behind_meta_and_system_exclusive():
    between = meta(1, b"verse"), sysex(0x7E, 0x7F, 9, 1), meta(5, b"la"), b"\0\xf7\1\1"
    for event in between:
        track = on(60) + b"\x81\x70\x3c\0" + event + b"\0\x3e\x50\x81\x70\x3e\0"
        assert keys(read(smf(track), 2)) == [60, 62]


def test_data_that_no_status_stands_before_are_skipped_and_said():
    score = read(smf(b"\0\x3c\x50\x60\x3c\0" + on(64) + off(64, 100)), 1, said=["skipped"])
    assert keys(score) == [64]


@pytest.mark.parametrize("status", [0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE])
def test_system_messages_in_a_track_are_skipped(status):
    data = b"\x10" * {0xF1: 1, 0xF2: 2, 0xF3: 1}.get(status, 0)
    score = read(smf(scale(count=2) + number(40) + bytes([status]) + data + scale(count=2)), 4, said=["skipped"])
    assert score.length == round((220 + 20 + 220 + 40 + 220 + 20 + 220) / 960 * RATE)


def test_values_that_are_no_data_bytes_are_clipped():
    read(smf(b"\0\x90\x3c\xc8" + off(60, 100) + scale()), 9, said=["clipped"])
    read(smf(control(7, 255) + scale()), 8, said=["clipped"])
    read(smf(b"\0\xc0\xc8" + scale()), 8, said=["clipped"])
    read(smf(b"\0\x90\xc8\x40" + scale()), 8, said=["skipped"])


def test_long_numbers_are_understood():
    score = read(smf(b"\x80\x80\x80\x80\5" + on(60)[1:] + off(60, 480)), 1)
    assert score.events[0].sample == round(5 / 960 * RATE)


@pytest.mark.parametrize("delta", [0xFFFFFFFF, 2**28 - 1])
def test_a_note_of_days_is_refused_and_what_comes_before_one_is_played(delta):
    with pytest.raises(InputFileError, match="hours"):
        parse_score(smf(on(60) + off(60, delta)), RATE)
    read(smf(scale() + on(60, delta) + off(60, 100)), 8, said=["6 hours"])


def test_tempos_of_any_track_count():
    slow, fast = meta(0x51, (1_000_000).to_bytes(3)), meta(0x51, (250_000).to_bytes(3), 4 * 480)
    score = read(smf(meta(3, b"x"), scale(count=16, first=40), slow + fast), 16)
    assert score.events[-1].sample == pytest.approx((4 + 1 - 20 / 480 / 4) * RATE, abs=2)


@pytest.mark.parametrize(
    ("rate", "ticks", "second"), [(24, 10, 4.1667), (25, 40, 1), (29, 100, 0.33367), (30, 80, 0.41667)]
)
def test_smpte_time_knows_no_tempo(rate, ticks, second):
    division = struct.unpack(">H", struct.pack(">bB", -rate, ticks))[0]
    track = meta(0x51, (250_000).to_bytes(3)) + on(60) + off(60, 1000) + on(62) + off(62, 10)
    score = parse_score(smf(track, division=division), RATE)
    begin = [event.sample for event in score.events if event.kind is Kind.NOTE_ON][1]
    assert begin / RATE == pytest.approx(second, abs=1e-4)


@pytest.mark.parametrize(
    "data", [smf(b""), smf(off(60)), smf(on(60) + off(60, 9), division=0), smf(on(60), division=0xE700), header(),
             b"\x90\x3c\x50", smf(meta(3, b"x" * 500), control(7, 9))],
)  # fmt: skip
def test_only_what_holds_no_notes_is_refused(data):
    with pytest.raises(InputFileError) as error:
        parse_score(data, RATE)
    assert "\n" not in str(error.value)


def test_a_flood_is_thinned_to_what_can_be_heard():
    flood = b"".join(control(1, n % 128, n % 2) for n in range(20_000))
    score = read(smf(on(60) + flood + off(60, 100)), 1)
    controls = [event for event in score.events if event.kind is Kind.CONTROL]
    assert len(controls) <= score.length / 64 + 2
    assert controls[-1].value == 19_999 % 128
    storm = b"".join(off(60, 1) for _ in range(20_000))
    assert len(read(smf(storm + scale()), 8).events) == 16


@pytest.mark.parametrize(
    "track",
    [control(64, 127) + b"".join(on(n % 100, 1) + off(n % 100, 1) for n in range(6_000)),
     b"".join(on(60, 1) for _ in range(6_000)) + b"".join(off(60, 1) for _ in range(6_000)),
     b"".join(on(n % 100) for n in range(100)) + control(123, 0) * 10_000, scale() * 700],
)  # fmt: skip
def test_floods_of_notes_take_no_longer_than_their_number(track):
    began = time.process_time()
    score = parse_score(smf(track), RATE)
    assert score.notes >= 100
    assert time.process_time() - began < 3


def outcome(data):
    try:
        score = parse_score(data, RATE)
    except InputFileError as error:
        assert "\n" not in str(error)
        return
    samples = [event.sample for event in score.events]
    assert samples == sorted(samples)
    assert samples[-1] <= score.length
    assert score.notes == sum(track.notes for track in score.tracks) > 0
    assert len(score.track_of) == len(score.events)
    assert all(len(text) <= 200 and text.isprintable() for text in (score.title, *(t.title for t in score.tracks)))


WHOLE = smf(*MIXED)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "cut", "insert", "double"]), st.integers(0, len(WHOLE) - 1), st.binary(max_size=9)
        ),
        max_size=6,
    )
)
@settings(max_examples=120, deadline=None)
def test_damage_of_any_kind_gives_a_score_or_a_sentence(changes):
    data = WHOLE
    for what, place, content in changes:
        match what:
            case "set":
                data = data[:place] + content + data[place + len(content) :]
            case "cut":
                data = data[:place]
            case "insert":
                data = data[:place] + content + data[place:]
            case "double":
                data = data[:place] + data[place // 2 :]
    outcome(data)
