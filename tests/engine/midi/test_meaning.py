"""What the events of a file mean: which note ends when, where the music ends, ports, drum parts, tuning, titles."""

import numpy as np
import pytest

from engine.errors import InputFileError
from engine.midi.channel import ChannelState, Start
from engine.midi.content import music_seconds, not_followed, programs
from engine.midi.events import Kind, drum_part, master_tuning, note_off, note_on
from engine.midi.files import parse_score, read_score
from engine.midi.text import decode_texts
from engine.midi.writing import write_midi
from engine.score_options import ScoreOptions
from engine.synth import Synth
from engine.transport import Transport, arranged
from tests.engine.midi.smf import RATE, bend, control, meta, number, off, on, scale, smf, sysex

NOTES = (Kind.NOTE_ON, Kind.NOTE_OFF)
GS_DRUMS_11 = sysex(0x41, 0x10, 0x42, 0x12, 0x40, 0x1A, 0x15, 2, 0x0F)
XG_ON = sysex(0x43, 0x10, 0x4C, 0, 0, 0x7E, 0)


def sounding(score):
    """(key, beginning, end) of all notes in seconds as the channels play them, by their beginnings."""
    channels = [ChannelState.of_channel(index) for index in range(16)]
    begun, notes = {}, []
    for event in score.events:
        for command in channels[event.channel].apply(event):
            note = event.channel, command.note
            if isinstance(command, Start):
                begun[note] = command.key, event.sample
            else:
                key, sample = begun.pop(note)
                notes.append((round(sample / RATE, 3), key, round((event.sample - sample) / RATE, 3)))
    assert not begun
    return [(key, begin, round(begin + length, 3)) for begin, key, length in sorted(notes)]


def test_a_missing_last_note_off_leaves_short_overlaps_as_they_are():
    track = on(60) + on(60, 480) + off(60, 10) + off(60, 470) + on(60, 480)
    assert [end for _, _, end in played(track)] == pytest.approx([0.51, 1.0, 3.5], abs=1e-3)


def played(*tracks):
    return sounding(parse_score(smf(*tracks), RATE))


@pytest.mark.parametrize("late", [0, 1, 10, 100])
def test_a_pitch_struck_again_before_its_note_off_is_no_click(late):
    track = on(60) + on(60, 480) + off(60, late) + on(60, 480 - late) + off(60, late) + off(60, 480 - late)
    overlap = round(late / 960, 3)
    notes = played(track)
    assert [begin for _, begin, _ in notes] == [0, 0.5, 1]
    assert [end for _, _, end in notes] == pytest.approx([0.5 + overlap, 1 + overlap, 1.5], abs=1e-3)


def test_a_missing_note_off_between_two_strokes_leaves_nothing_hanging():
    assert played(on(60) + on(60, 480) + off(60, 480) + on(60, 480) + off(60, 480)) == [
        (60, 0, 0.5), (60, 0.5, 1.0), (60, 1.5, 2.0),
    ]  # fmt: skip


@pytest.mark.parametrize("channel", [0, 1])
def test_two_voices_on_one_pitch_last_as_long_as_each_is_held(channel):
    held = on(60) + off(60, 8 * 480)
    other = on(60, 960, channel) + off(60, 480, channel)
    assert played(held, other) == [(60, 0, 4.0), (60, 1.0, 1.5)]
    assert played(other, held) == [(60, 0, 4.0), (60, 1.0, 1.5)]


def test_twins_of_one_track_last_as_long_as_the_longer():
    notes = played(on(60) + on(60) + off(60, 480) + off(60, 480))
    assert max(end for _, _, end in notes) == 1.0


@pytest.mark.parametrize("first", ["on", "off"])
def test_a_note_of_no_length_does_not_last_to_the_next(first):
    nothing = on(48) + off(48) if first == "on" else off(48) + on(48)
    notes = played(nothing + on(48, 8 * 480) + off(48, 480))
    assert notes in ([(48, 0, 0.0), (48, 4.0, 4.5)], [(48, 4.0, 4.5)])
    assert played(on(47) + nothing + off(47, 480))[-1] in ((48, 0, 0.0), (47, 0, 0.5))


def test_a_note_off_before_a_note_on_at_one_tick_belongs_to_the_note_before():
    assert played(off(48) + on(48) + off(48, 480) + on(48) + off(48, 480)) == [(48, 0, 0.5), (48, 0.5, 1.0)]


DOWN, UP = control(64, 127), control(64, 0)


@pytest.mark.parametrize(
    ("track", "end"),
    [(DOWN + on(60) + off(60, 480) + UP, 0.5), (DOWN + on(60) + control(64, 0, 480) + off(60), 0.5),
     (on(60) + off(60, 480) + DOWN + control(64, 0, 480), 0.5),
     (on(60) + control(64, 127, 10) + off(60, 230) + on(60, 240) + control(64, 0, 480) + off(60, 960), 2.0),
     (DOWN + on(60) + control(123, 0, 480) + control(64, 0, 960), 1.5),
     (DOWN + on(60) + off(60, 240) + control(121, 0, 240), 0.5), (on(60) + control(120, 0, 480), 0.5)],
)  # fmt: skip
def test_pedals_and_modes_end_what_they_hold(track, end):
    score = parse_score(smf(track + meta(1, b"", 480)), RATE)
    assert music_seconds(score) == pytest.approx(end, abs=1e-3)
    assert score.warnings == ()


def test_sostenuto_holds_what_was_down():
    track = on(48) + on(55) + control(66, 127, 240) + on(72, 10) + off(48, 230) + off(55) + off(72)
    assert played(track + control(66, 0, 960)) == [(48, 0, 1.5), (55, 0, 1.5), (72, 0.26, 0.5)]


def test_silent_bars_are_kept_and_silent_minutes_are_not():
    bars = parse_score(smf(scale() + meta(1, b"", 8 * 480)), RATE)
    assert bars.seconds == pytest.approx(1.979 + 4, abs=1e-3)
    tempos = b"".join(meta(0x51, (500_000).to_bytes(3), 960) for _ in range(1800))
    for tracks in ((tempos, scale()), (scale() + tempos,)):
        score = parse_score(smf(*tracks), RATE)
        assert score.seconds == pytest.approx(1.979, abs=1e-3)
        assert score.events[-1].sample <= score.length
        assert "30.0 minutes of silence" in score.warnings[0]


def test_a_note_that_nothing_ends_is_no_click_and_a_pedal_that_stays_comes_up():
    click = parse_score(smf(on(60) + on(64, 480) + on(67, 480)), RATE)
    assert click.seconds == pytest.approx(1.0 + 2.0)
    assert "never ends" in click.warnings[0]
    assert parse_score(smf(on(60) + off(64, 9600)), RATE).seconds == pytest.approx(10.0)
    pedal = parse_score(smf(DOWN + scale()), RATE)
    assert pedal.seconds == pytest.approx(1.979 + 3, abs=1e-3)
    assert {end for _, _, end in sounding(pedal)} == {4.979}
    assert "pedal" in pedal.warnings[0]


def channels_of(score):
    return [track.channel for track in score.tracks]


def test_ports_are_kept_apart():
    first = meta(0x21, b"\0") + control(7, 127) + scale()
    second = meta(0x21, b"\1") + control(7, 0) + bend(8191) + scale() + scale(9)
    score = parse_score(smf(first, second), RATE)
    assert channels_of(score) == [0, 1, 9]
    assert {e.channel for e in score.events if e.kind is Kind.CONTROL and e.value == 0} == {1}
    assert {e.channel for e in score.events if e.kind is Kind.BEND} == {1}
    both = parse_score(smf(first + scale(9), second), RATE)
    assert channels_of(both) == [0, 9, 1, 2]
    assert both.drums == {2, 9}
    assert "channel 10 of port 2 as channel 3" in both.warnings[0]


def test_where_no_channel_is_free_the_other_port_plays_notes_only():
    full = meta(0x21, b"\0") + b"".join(scale(channel, 1) for channel in range(16))
    score = parse_score(smf(full, meta(0x21, b"\1") + control(7, 0) + scale(3, 2)), RATE)
    assert score.notes == 18
    assert not any(event.kind is Kind.CONTROL for event in score.events)


@pytest.mark.parametrize(
    ("track", "drums"),
    [(scale(9), {9}), (scale(8), set()), (GS_DRUMS_11 + scale(10), {10}), (GS_DRUMS_11 + scale(9), {9}),
     (XG_ON + control(0, 127, 0, 8) + b"\0\xc8\0" + scale(8), {8}),
     (control(0, 120, 0, 4) + b"\0\xc4\0" + scale(4), {4}),
     (control(0, 121, 0, 9) + b"\0\xc9\0" + scale(9), set()), (GS_DRUMS_11 + XG_ON + scale(10), set()),
     (sysex(0x41, 0x10, 0x42, 0x12, 0x40, 0x10, 0x15, 0, 0x1B) + scale(9), set())],
)  # fmt: skip
def test_which_channels_are_drum_parts(track, drums):
    assert parse_score(smf(track), RATE).drums == drums


def test_what_an_instrument_does_not_follow_is_said():
    song = parse_score(smf(b"\0\xc0\x49" + scale(), scale(9), b"\0\xc1\0" + scale(1)), RATE)
    assert programs(song) == {0: [0x49], 1: [0], 9: [0]}
    drums, flute = not_followed(song, "keys", {})
    assert "channel 10" in drums
    assert "Flute (channel 1)" in flute
    assert "Piano" not in flute
    assert len(not_followed(song, "keys", {9: "pads"})) == 1
    assert not_followed(song, "keys", {9: "pads", 0: "keys"}) == []
    beat = parse_score(smf(scale(9)), RATE)
    assert not_followed(beat, "pads", {}) == []
    with pytest.raises(InputFileError, match="only drums, channel 10"):
        not_followed(beat, "keys", {})


def rpn(lsb, msb_value, lsb_value=None):
    data = control(38, lsb_value) if lsb_value is not None else b""
    return control(101, 0) + control(100, lsb) + control(6, msb_value) + data + control(101, 127) + control(100, 127)


FULL, HALF = bend(8191), bend(4096)


@pytest.mark.parametrize(
    ("track", "hertz"),
    [(rpn(2, 66), 493.9), (rpn(2, 40), 440 * 2**-2), (rpn(1, 96, 0), 452.9), (rpn(1, 0, 0), 415.3),
     (rpn(1, 64, 0), 440),
     (rpn(1, 80, 0) + rpn(0, 12) + HALF, 631.3), (rpn(0, 0, 50) + FULL, 452.9), (rpn(0, 24) + HALF, 880),
     (rpn(0, 24) + HALF + control(121, 0) + HALF, 880), (rpn(2, 66) + control(121, 0), 493.9),
     (control(101, 0) + control(100, 0) + control(99, 1) + control(98, 8) + control(6, 24) + FULL, 493.9),
     (sysex(0x7F, 0x7F, 4, 4, 0, 66) + sysex(0x7F, 0x7F, 4, 3, 0, 0x60), 508.4),
     (sysex(0x7F, 0x7F, 4, 4, 0, 66) + sysex(0x7E, 0x7F, 9, 1), 440)],
)  # fmt: skip
def test_tuning_by_parameters_and_system_exclusive(track, hertz):
    channel = ChannelState.of_channel(0)
    for event in parse_score(smf(track + on(69) + off(69, 100)), RATE).events:
        if event.kind is Kind.TUNING or event.channel == 0:
            channel.apply(event)
    assert 440 * 2 ** ((channel.bend_semitones + channel.tuning_semitones) / 12) == pytest.approx(hertz, abs=0.1)


TITLES = [
    ("utf-8", "夜想曲 Prélude"), ("utf-16", "さくら さくら"), ("cp932", "エリーゼのために"), ("cp932", "荒城の月"),
    ("cp932", "ピアノ"), ("cp932", "右手"), ("cp932", "交響曲第9番"), ("cp1251", "Калинка"), ("cp1251", "ГИМН ЖЁЛТЫЙ"),
    ("cp1251", "Подмосковные вечера"), ("cp1251", "Бас"), ("latin-1", "Prélude"), ("latin-1", "Für Elise"),
    ("latin-1", "À la claire fontaine"), ("latin-1", "Coração"), ("latin-1", "GRÜSSE"), ("cp1252", "L\u2019été"),
    ("koi8_r", "Калинка"), ("euc_jp", "さくら"), ("euc_kr", "아리랑"), ("gbk", "月亮代表我的心"), ("utf-16-le", "Song"),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "title"), TITLES)
def test_short_titles_are_read_in_their_encoding(codec, title):
    assert decode_texts([title.encode(codec), b"Piano"]) == [title, "Piano"]
    score = parse_score(smf(meta(3, title.encode(codec)) + scale()), RATE)
    assert (score.title, score.tracks[0].title) == (title, title)


def test_titles_are_one_line_of_bounded_length_without_controls():
    odd = decode_texts(
        [b"a\r\nb\0c\x07\x1b[31md\0\0\0", b"x" * 60_000, "a\u202eb\ud7ff".encode("utf-8", "ignore"), b""]
    )
    assert odd[0] == "a bcd"
    assert len(odd[1]) == 200
    assert odd[2].startswith("ab")
    assert odd[3] == ""


def test_karaoke_says_its_title_in_a_text():
    words = meta(3, b"Words") + meta(1, b"@LENGL") + meta(1, b"@TMary") + meta(1, b"@TTrad.") + meta(1, b"la", 9)
    assert parse_score(smf(meta(3, b"Soft Karaoke"), words, scale()), RATE).title == "Mary"
    assert number(480) == b"\x83\x60"


def test_drum_parts_and_tuning_are_written_as_they_are_read(tmp_path):
    path, events = tmp_path / "x.mid", [drum_part(0, channel, channel % 2 == 0) for channel in range(16)]
    events += [master_tuning(0, 0.25), master_tuning(0, -3, coarse=True), master_tuning(0, 1)]
    write_midi(path, [*events, note_on(0, 60, 9), note_off(99, 60)], RATE, 99)
    read = [event for event in read_score(path, RATE).events if event.kind in (Kind.DRUMS, Kind.TUNING)]
    assert read[:-1] == events[:-1]
    assert read[-1].value == pytest.approx(1, abs=2e-4)


def test_a_score_is_handed_out_with_its_voices_and_chased_with_them():
    held, other = on(60) + off(60, 8 * 480), on(60, 960) + off(60, 480)
    score = parse_score(smf(meta(3, b"a") + GS_DRUMS_11 + held, other), RATE)
    transport = Transport()
    transport.load(score)
    transport.play()
    handed = transport.advance(0, score.length + 1)
    assert [event for event in handed if event.kind in NOTES] == [e for e in score.events if e.kind in NOTES]
    transport.load(score)
    transport.seek(round(1.2 * RATE))
    transport.play()
    assert len([event for event in transport.advance(0, 1) if event.kind is Kind.NOTE_ON]) == 2
    transport.pause()
    ended = [event for event in transport.advance(0, 1) if event.kind is Kind.NOTE_OFF]
    assert {event.voice for event in ended} == {0, 1}
    transport.set_options(ScoreOptions(solo=frozenset({0})))
    transport.seek(0)
    transport.play()
    assert [e.sample for e in transport.advance(0, score.length + 1) if e.kind is Kind.NOTE_OFF] == [4 * RATE]


def test_a_drum_part_is_not_transposed_wherever_it_is():
    score = parse_score(smf(GS_DRUMS_11 + scale(10, 2, 36) + scale(0, 2, 60)), RATE)
    moved = arranged(score, ScoreOptions(transpose=3))
    assert {e.number for e in moved.events if e.kind is Kind.NOTE_ON} == {36, 37, 63, 64}


def rendered(instrument, track, samples):
    synth = Synth(instrument, limiter=False)
    synth.schedule(parse_score(smf(track), RATE).events)
    return synth.render(samples).sum(axis=1)


def rendered_hertz(instrument, track):
    """The frequency that sounds most."""
    sound = rendered(instrument, track, RATE // 4)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 19))
    return np.argmax(spectrum) * RATE / (1 << 19)


@pytest.mark.parametrize("tuning", [rpn(2, 66), rpn(1, 96, 0), sysex(0x7F, 0x7F, 4, 4, 0, 66)])
def test_tuning_is_heard(tiny, tuning):
    note = on(69) + off(69, 960)
    plain, tuned = rendered_hertz(tiny, note), rendered_hertz(tiny, tuning + note)
    assert tuned / plain == pytest.approx(2 ** ((0.5 if tuning == rpn(1, 96, 0) else 2) / 12), rel=2e-3)


def test_a_drum_part_on_any_channel_is_silent_on_keys(tiny):
    assert not rendered(tiny, GS_DRUMS_11 + scale(10, 1, 48), 4000).any()
    assert rendered(tiny, scale(10, 1, 48), 4000).any()
