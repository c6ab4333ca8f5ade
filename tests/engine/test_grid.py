import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.grid import DENSE, Grid, Strides, interpolation

GRID = Grid(Strides(((16, 2), (128, 4))), Strides(((8, 2), (24, 4))))


def test_knots_lie_apart_as_the_grid_says():
    knots = GRID.held.frames(0, 90)
    assert knots[:20].tolist() == [*range(16), 16, 18, 20, 22]
    assert np.diff(knots[knots >= 16])[:56].tolist() == [2] * 56
    assert set(np.diff(knots[knots >= 128])) == {4}
    assert DENSE.frames(5, 4).tolist() == [5, 6, 7, 8]


@given(st.integers(0, 500))
def test_the_index_of_a_frame_counts_the_knots_before_it(frame):
    assert GRID.held.index(frame) == np.searchsorted(GRID.held.frames(0, 600), frame)
    assert DENSE.index(frame) == frame


@given(st.integers(0, 300), st.integers(1, 60), st.one_of(st.none(), st.integers(0, 300)))
def test_knots_from_anywhere_are_those_of_the_whole_note(frame, count, border):
    whole = GRID.after(0, 800, border)
    assert np.all(np.diff(whole) > 0)
    later = GRID.after(frame, count, border)
    assert len(later) == count
    assert later.tolist() == whole[whole >= frame][:count].tolist()


@pytest.mark.parametrize("border", [4, 17, 33, 34, 200])
def test_a_release_has_a_knot_before_it_and_a_dense_beginning(border):
    knots = GRID.until(border + 60, border)
    at = int(np.searchsorted(knots, border))
    assert knots[at - 1] == border - 1
    assert knots[at : at + 12].tolist() == [border + i for i in (*range(8), 8, 10, 12, 14)]
    assert knots[-2] < border + 60 <= knots[-1]


def test_lines_between_knots():
    knots = [2, 3, 5, 9]
    lines = interpolation(knots, 0, 11) @ np.array([1.0, 2.0, 4.0, 0.0])
    assert np.allclose(lines, [1, 1, 1, 2, 3, 4, 3, 2, 1, 0, 0, 0])
    assert interpolation([4], 4, 6).tolist() == [[1], [1], [1]]


def test_a_grid_is_read_as_it_was_written():
    assert Grid.from_json(GRID.to_json()) == GRID
    assert Grid.from_json(None) == Grid()


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (((16, 4), (64, 2)), "increase"), (((16, 2), (16, 4)), "increase"), (((0, 2),), "increase"),
        (((-4, 2),), "increase"), (((16, 1),), "increase"), (((16, 64),), "increase"), (((1 << 20, 2),), "increase"),
        (((16, 4), (33, 8)), "does not meet"), (((16.0, 2),), "whole"), (((True, 2),), "whole"), (((16,),), "whole"),
        (tuple((i, i + 1) for i in range(1, 12)), "up to 8"),
    ],
)  # fmt: skip
def test_a_grid_that_cannot_be_is_refused_in_words(steps, reason):
    with pytest.raises(ValueError, match=reason):
        Strides(steps)


@pytest.mark.parametrize("data", [[], {"held": []}, {"held": [[1]], "released": 3}, {"held": [3], "released": []}, "x"])
def test_a_grid_of_another_shape_is_refused(data):
    with pytest.raises(ValueError, match="grid"):
        Grid.from_json(data)
