import numpy as np
import pytest
import torch

from training.losses import complex_and_magnitude, magnitude_and_turn, turns


def pair(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, 2, generator=generator)


def test_what_is_right_costs_nothing():
    target = pair(3, 5)[0]
    assert float(complex_and_magnitude(target, target)) == 0


def test_it_is_the_two_squared_errors_over_the_targets_power():
    output, target = pair(4, 7).double()
    difference = ((output - target) ** 2).mean()
    magnitudes = ((torch.view_as_complex(output).abs() - torch.view_as_complex(target).abs()) ** 2).mean()
    wanted = (difference + magnitudes) / (target**2).mean()
    # The magnitudes have a floor of 1e-4 under the root.
    assert float(complex_and_magnitude(output, target)) == pytest.approx(float(wanted), rel=1e-3)


def test_it_does_not_depend_on_the_batchs_level_but_for_the_floor():
    output, target = pair(50, 7)
    assert float(complex_and_magnitude(10 * output, 10 * target)) == pytest.approx(
        float(complex_and_magnitude(output, target)), rel=1e-2
    )


def test_silence_costs_more_than_squared_error_alone_says():
    """Squared error alone is 1 for silence; the missing magnitude is paid for on top."""
    target = pair(50, 7)[0]
    silence = float(complex_and_magnitude(torch.zeros_like(target), target))
    assert silence == pytest.approx(3, abs=0.1)  # 1, and magnitudes squared: twice the mean of re^2 and im^2


def test_a_wrong_phase_is_cheaper_with_its_magnitude_than_half_silenced():
    """At a right angle, squared error alone would be least at silence."""
    target = pair(50, 7)[0]
    turned = torch.stack([-target[..., 1], target[..., 0]], -1)
    assert float(complex_and_magnitude(turned, target)) < float(complex_and_magnitude(0.1 * turned, target))
    assert (turned - target).pow(2).mean() > (0.1 * turned - target).pow(2).mean()


def test_gradients_are_finite_in_silence():
    output = torch.zeros(3, 4, 2, requires_grad=True)
    complex_and_magnitude(output, pair(3, 4)[0]).backward()
    assert bool(output.grad.isfinite().all())


def envelopes(frames=40, carriers=6, seed=0):
    """(1, frames, carriers, 2): slowly turning envelopes of different levels."""
    rng = np.random.default_rng(seed)
    speed, level = rng.uniform(-0.5, 0.5, carriers), rng.uniform(0.5, 1.5, carriers)
    numbers = level * np.exp(1j * (np.arange(frames)[:, None] * speed + rng.uniform(-np.pi, np.pi, carriers)))
    return torch.view_as_real(torch.from_numpy(numbers.astype(np.complex64)))[None]


def rotated(values, angles):
    return torch.view_as_real(torch.view_as_complex(values) * torch.from_numpy(np.exp(1j * angles)))


def test_turns_keep_magnitudes_and_speeds_but_not_phases():
    target = envelopes()
    angles = np.random.default_rng(1).uniform(-np.pi, np.pi, 6)
    assert torch.allclose(turns(rotated(target, angles)).float(), turns(target), atol=1e-5)
    faster = rotated(target, np.arange(40)[:, None] * np.full(6, 0.3))
    assert float((turns(faster) - turns(target)).pow(2).mean()) > 0.05
    assert torch.allclose(turns(2 * target), 2 * turns(target), atol=1e-3)


def test_a_wandering_phase_costs_little_and_a_lost_magnitude_much():
    target = envelopes()
    wandering = rotated(target, np.full(6, 2.0)).float()
    assert float(magnitude_and_turn(target, target)) == 0
    assert float(magnitude_and_turn(wandering, target)) < 0.3 * float(magnitude_and_turn(0.3 * wandering, target))
    assert float(complex_and_magnitude(wandering, target)) > float(complex_and_magnitude(0.3 * wandering, target))


def test_the_gradient_of_turns_is_finite_in_silence():
    output = torch.zeros(1, 5, 3, 2, requires_grad=True)
    magnitude_and_turn(output, envelopes(5, 3)).backward()
    assert bool(output.grad.isfinite().all())
