import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.voices.piece import Piece, overlapped


def added(stretches, hop):
    """One after the other, as it is defined."""
    out = np.zeros((2, (len(stretches) - 1) * hop + stretches.shape[2]), np.float32)
    for index, stretch in enumerate(stretches):
        out[:, index * hop : index * hop + stretch.shape[1]] += stretch
    return out


def piece(frames, hop, length, first=3):
    rng = np.random.default_rng(frames * hop + length)
    stretches = rng.standard_normal((frames, 2, length)).astype(np.float32)
    return Piece.of(first, stretches, rng.random((frames + 1, 5)), hop)


@pytest.mark.parametrize(("frames", "hop", "length"), [(1, 4, 16), (5, 4, 16), (9, 7, 16), (3, 16, 16), (4, 1, 3)])
def test_stretches_are_overlapped_and_added(frames, hop, length):
    one = piece(frames, hop, length)
    assert np.allclose(one.sound, added(one.stretches, hop), atol=1e-6)
    assert (one.end, one.start) == (3 + frames, 4 * hop - length)
    assert one.over == one.start + one.sound.shape[1]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 60), st.integers(1, 30))
def test_a_piece_that_is_cut_sounds_as_before_from_its_last_frame_on(frames, kept, later, samples):
    """Frame m begins at (m + 1) hop - length, and is cut when it has begun."""
    hop, length, first = 4, 18, 2
    whole = piece(frames, hop, length, first)
    kept = min(kept, frames)
    cut, wanted = whole.before(first + kept), Piece.of(first, whole.stretches[:kept], whole.phases[: kept + 1], hop)
    position = (first + kept) * hop - length + later
    heard, right = np.zeros((2, 2, samples), np.float32)
    cut.add_to(heard, position)
    wanted.add_to(right, position)
    assert np.allclose(heard, right, atol=1e-6)
    assert np.array_equal(cut.phase(first + kept), whole.phase(first + kept))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_blocks_of_any_size_make_up_the_piece(sizes):
    one = piece(4, 4, 16, first=0)  # begins 12 samples before the note
    whole = np.zeros((2, sum(sizes)), np.float32)
    one.add_to(whole, -20)
    position, parts = -20, []
    for size in sizes:
        parts.append(np.zeros((2, size), np.float32))
        one.add_to(parts[-1], position)
        position += size
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


def test_without_carriers_there_are_no_phases():
    one = Piece.of(0, np.zeros((2, 2, 8), np.float32), None, 4)
    assert one.phase(1) is None and one.before(1).phase(1) is None


def test_overlapping_nothing_but_itself():
    assert np.array_equal(overlapped(np.ones((1, 2, 8), np.float32), 2), np.ones((2, 8), np.float32))
