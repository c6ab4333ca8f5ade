import numpy as np

from engine.ramp import Ramp


def test_a_target_is_reached_in_a_straight_line_whatever_the_blocks():
    whole, pieces = Ramp(1.0, 100), Ramp(1.0, 100)
    for ramp in (whole, pieces):
        assert ramp.next(5) == 1.0
        ramp.go(0.25)
    line = whole.next(130)
    assert np.allclose(line[:100], 1 - 0.75 * np.arange(1, 101) / 100)
    assert (line[100:] == 0.25).all()
    assert np.allclose(np.concatenate([pieces.next(13) for _ in range(8)]), line[:104], atol=1e-6)
    assert pieces.left == 0 and pieces.next(3) == 0.25


def test_another_target_begins_where_it_is():
    ramp = Ramp(0.0, 10)
    ramp.go(1.0)
    ramp.next(5)
    ramp.go(0.0, 50)
    assert ramp.left == 50
    assert np.isclose(ramp.next(1)[0], 0.49)
    ramp.go(0.0)  # on its way already
    assert ramp.left == 49
