import io
import struct

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputFileError
from engine.midi.events import Kind
from engine.midi.files import Score, parse_score, read_score

RATE = 44_100


def file_bytes(*tracks, ticks=480, kind=1):
    file = mido.MidiFile(type=kind, ticks_per_beat=ticks)
    file.tracks.extend(mido.MidiTrack(track) for track in tracks)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def note(key, length, wait=0, velocity=80):
    return [
        mido.Message("note_on", note=key, velocity=velocity, time=wait),
        mido.Message("note_off", note=key, time=length),
    ]


def raw_file(track, division=480, kind=0):
    return b"MThd" + struct.pack(">IHHh", 6, kind, 1, division) + b"MTrk" + struct.pack(">I", len(track)) + track


END = b"\x00\xff\x2f\x00"


def times(score, kind=Kind.NOTE_ON):
    return [event.sample for event in score.events if event.kind is kind]


def test_a_beat_at_120_is_half_a_second():
    score = parse_score(file_bytes(note(60, 480) + note(64, 480)), RATE)
    assert times(score) == [0, RATE // 2]
    assert score.length == RATE
    assert score.notes == 2


def test_tempo_changes_count_from_where_they_stand():
    tempo = [
        mido.MetaMessage("set_tempo", tempo=500_000),
        mido.MetaMessage("set_tempo", tempo=1_000_000, time=480),
        mido.MetaMessage("set_tempo", tempo=250_000, time=480),
    ]
    score = parse_score(file_bytes(tempo, note(60, 240, wait=480) + note(61, 240, wait=240)), RATE)
    # One beat of 0.5 s; half a beat and half a beat of 1 s; half a beat of 0.25 s.
    assert times(score) == [round(0.5 * RATE), round(1.5 * RATE)]
    assert times(score, Kind.NOTE_OFF) == [round(1.0 * RATE), round(1.625 * RATE)]


def test_type_0_and_type_1_tell_the_same():
    tempo = mido.MetaMessage("set_tempo", tempo=400_000)
    one = parse_score(file_bytes([tempo], note(60, 100), note(64, 300)), RATE)
    together = [tempo, mido.Message("note_on", note=60, velocity=80), mido.Message("note_on", note=64, velocity=80),
                mido.Message("note_off", note=60, time=100), mido.Message("note_off", note=64, time=200)]  # fmt: skip
    zero = parse_score(file_bytes(together, kind=0), RATE)
    assert sorted(zero.events, key=repr) == sorted(one.events, key=repr)


def test_type_2_plays_its_sequences_one_after_another():
    score = parse_score(file_bytes(note(60, 480), note(64, 480), kind=2), RATE)
    assert times(score) == [0, RATE // 2]


@pytest.mark.parametrize(("frames", "rate"), [(24, 24.0), (25, 25.0), (29, 30_000 / 1001), (30, 30.0)])
def test_smpte_time_counts_frames(frames, rate):
    division = struct.unpack(">h", struct.pack(">bB", -frames, 40))[0]
    track = b"\x00\x90\x3c\x50" + bytes([0x81, 0x40 - 0x40 + 0x20]) + b"\x80\x3c\x00" + END  # 0x81 0x20: 160 ticks
    score = parse_score(raw_file(track, division), RATE)
    assert score.length == round(160 / 40 / rate * RATE)


def test_running_status_is_understood():
    track = b"\x00\x90\x3c\x50\x60\x3c\x00\x00\x40\x50\x60\x40\x00" + END
    score = parse_score(raw_file(track, 96), RATE)
    assert [event.number for event in score.events if event.kind is Kind.NOTE_ON] == [60, 64]
    assert times(score, Kind.NOTE_OFF) == [RATE // 2, RATE]


def test_a_tempo_of_zero_is_ignored_and_said():
    track = b"\x00\xff\x51\x03\x00\x00\x00\x00\x90\x3c\x50\x60\x80\x3c\x00" + END
    score = parse_score(raw_file(track, 96), RATE)
    assert score.length == RATE // 2
    assert "tempo" in score.warnings[0]


def test_a_note_that_never_ends_stops_with_the_score_and_it_is_said():
    track = [mido.Message("note_on", note=60, velocity=80), *note(64, 480)]
    score = parse_score(file_bytes(track), RATE)
    assert [e.sample for e in score.events if e.kind is Kind.NOTE_OFF and e.number == 60] == [score.length]
    assert "never ends" in score.warnings[0]


def test_a_note_of_no_length_begins_before_it_ends():
    score = parse_score(file_bytes(note(60, 0) + note(64, 480)), RATE)
    assert [event.kind for event in score.events if event.number == 60] == [Kind.NOTE_ON, Kind.NOTE_OFF]


def test_a_riff_envelope_is_opened():
    plain = file_bytes(note(60, 480))
    wrapped = b"RIFF" + struct.pack("<I", len(plain) + 12) + b"RMIDdata" + struct.pack("<I", len(plain)) + plain
    assert parse_score(wrapped, RATE).events == parse_score(plain, RATE).events


def test_a_file_cut_short_keeps_its_whole_tracks():
    data = file_bytes(note(60, 480), note(64, 480), note(67, 480))
    score = parse_score(data[:-10], RATE)
    assert {event.number for event in score.events} == {60, 64}
    assert "cut short" in score.warnings[0]


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"MThd", b"MThd\0\0\0\6\0\1\0\1\1\xe0", file_bytes(),
     file_bytes([mido.MetaMessage("end_of_track")]),
     raw_file(b"\x00\x90", 96), raw_file(b"\x00\x90\x3c\x50" + END, 0), b"RIFF" + b"\0" * 40],
)  # fmt: skip
def test_what_cannot_be_played_is_said_in_words(data):
    with pytest.raises(InputFileError) as error:
        parse_score(data, RATE)
    assert "\n" not in str(error.value)


def test_a_file_that_would_last_for_days_is_refused():
    slow = mido.MetaMessage("set_tempo", tempo=16_777_215)
    with pytest.raises(InputFileError, match="hours"):
        parse_score(file_bytes([slow, *note(60, 480, wait=200_000_000)]), RATE)


@pytest.mark.parametrize("make", ["missing", "folder", "large"])
def test_paths_that_cannot_be_read_are_said_in_words(tmp_path, make):
    path = tmp_path / "x.mid"
    if make == "folder":
        path.mkdir()
    elif make == "large":
        with path.open("wb") as file:
            file.truncate(30_000_000)
    with pytest.raises(InputFileError, match=r"x\.mid"):
        read_score(path, RATE)


def outcome(data):
    try:
        return parse_score(data, RATE)
    except InputFileError as error:
        assert "\n" not in str(error)
        return None


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_random_bytes_never_break_it(data):
    outcome(data)
    outcome(b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk" + struct.pack(">I", len(data)) + data)


VALID = file_bytes(
    [mido.MetaMessage("set_tempo", tempo=400_000), mido.MetaMessage("key_signature", key="Am")],
    [*note(60, 100), mido.Message("control_change", control=64, value=100), *note(62, 7, 30),
     mido.Message("pitchwheel", pitch=300), mido.Message("sysex", data=(1, 2, 3)), *note(64, 50)],
)  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(VALID)))
@settings(max_examples=400, deadline=None)
def test_damaged_files_give_a_whole_score_or_a_sentence(changes, length):
    data = bytearray(VALID)
    for place, value in changes:
        data[place] = value
    for version in (bytes(data), bytes(data[:length])):
        score = outcome(version)
        if score is not None:
            check(score)


def check(score: Score):
    samples = [event.sample for event in score.events]
    assert samples == sorted(samples)
    assert score.notes > 0
    assert not samples or 0 <= samples[0] <= samples[-1] <= score.length + 1
    down = set()
    for event in score.events:
        key = event.channel, event.number
        if event.kind is Kind.NOTE_ON:
            down.add(key)
        elif event.kind is Kind.NOTE_OFF:
            down.discard(key)
    assert not down


def test_on_the_grid_every_event_is_near_and_on_it():
    score = parse_score(VALID, RATE)
    gridded = score.on_grid(64)
    for a, b in zip(score.events, gridded.events, strict=True):
        assert b.sample % 64 == 0
        assert abs(a.sample - b.sample) <= 32
