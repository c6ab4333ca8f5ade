import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from engine.stopping import Stopped, stopping
from training.fit import (
    CHECKPOINT,
    DAMAGED,
    FitConfig,
    FitError,
    Progress,
    check_free,
    choose_device,
    draw_curve,
    fit,
)

PNG = b"\x89PNG"


class LineTask:
    """A line through points: the smallest task there is. Dropout draws from torch's own random numbers too."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))

    def loss(self, rng, step):
        x = torch.from_numpy(rng.uniform(-1, 1, (32, 1)).astype(np.float32))
        return (self.model(x) - 2 * x).pow(2).mean()

    def validate(self):
        assert not torch.is_grad_enabled() and not self.model.training
        x = torch.linspace(-1, 1, 9)[:, None]
        return {"error": float((self.model(x) - 2 * x).abs().max())}


class StopsAt(LineTask):
    """Is interrupted in a step, as by Ctrl-C."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def loss(self, rng, step):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().loss(rng, step)


class BreaksAt(LineTask):
    """Its loss is no number from a step on."""

    def __init__(self, step, value=math.nan):
        super().__init__()
        self.steps, self.value = iter(itertools.count()), value
        self.step = step

    def loss(self, rng, step):
        return super().loss(rng, step) * (self.value if next(self.steps) >= self.step else 1.0)


def quiet(text):
    pass


def weights(task):
    return torch.cat([p.detach().flatten() for p in task.model.parameters()])


def resumed_step(said):
    return int(said[0].split("resuming at step ")[1].split(",")[0])


def test_the_loss_falls_and_the_figures_improve(tmp_path):
    task = LineTask()
    with torch.no_grad():
        before = task.model.eval() and task.validate()["error"]
    task.model.train()
    progress = fit(task, tmp_path, FitConfig(steps=400, warmup=20, report_seconds=0.01), quiet)
    losses = [loss for _, loss in progress.losses]
    assert progress.step == 400
    assert np.mean(losses[-3:]) < 0.3 * losses[0]
    assert progress.figures[-1] == (400, progress.figures[-1][1])
    assert progress.figures[-1][1]["error"] < 0.5 * before


@pytest.mark.parametrize("steps", [1, 30])
def test_the_loss_curve_is_a_picture_however_short_the_run(tmp_path, steps):
    fit(LineTask(), tmp_path, FitConfig(steps=steps), quiet)
    assert (tmp_path / "loss.png").read_bytes().startswith(PNG)


def test_the_loss_curve_shows_the_losses(tmp_path):
    """More losses, another picture; none, none."""
    draw_curve(Progress(losses=[(index, 1 / (index + 1)) for index in range(5000)]), tmp_path / "a.png")
    draw_curve(Progress(losses=[(index, 1.0 + index % 2) for index in range(5000)]), tmp_path / "b.png")
    draw_curve(Progress(), tmp_path / "c.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert not (tmp_path / "c.png").exists()


def test_every_step_counts_in_the_curve(tmp_path):
    """Means over the steps since the last entry: steps and losses add up to what was really lost."""
    seen = []

    class Remembers(LineTask):
        def loss(self, rng, step):
            loss = super().loss(rng, step)
            seen.append(float(loss.detach()))
            return loss

    progress = fit(Remembers(), tmp_path, FitConfig(steps=50, report_seconds=0.005), quiet)
    steps = [0, *(step for step, _ in progress.losses)]
    assert steps[-1] == 50
    for (low, high), (_, mean) in zip(itertools.pairwise(steps), progress.losses, strict=True):
        assert mean == pytest.approx(np.mean(seen[low:high]), rel=1e-5)


def test_a_time_ends_a_run_too_and_resumed_time_counts(tmp_path):
    config = FitConfig(minutes=0.5 / 60)
    first = fit(LineTask(), tmp_path, config, quiet)
    assert first.seconds >= 0.5
    assert first.step > 5
    again = fit(LineTask(), tmp_path, config, quiet)
    assert again.step == first.step  # its time is over


def test_progress_tells_share_pace_and_time_left(tmp_path):
    said = []
    fit(LineTask(), tmp_path, FitConfig(steps=600, report_seconds=0.02), said.append)
    steps = [text for text in said if text.startswith("step ")]
    assert steps
    assert all("%" in text and "loss " in text and "s/step" in text and text.endswith(" left") for text in steps)
    assert "held out: error" in said[-1]


@pytest.mark.parametrize("stop", [1, 25, 59])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(tmp_path, stop):
    config = FitConfig(steps=60)
    whole = LineTask()
    fit(whole, tmp_path / "whole", config, quiet)
    with pytest.raises(KeyboardInterrupt):
        fit(StopsAt(stop), tmp_path / "parts", config, quiet)
    assert (tmp_path / "parts" / "loss.png").read_bytes().startswith(PNG)
    said, resumed = [], LineTask()
    progress = fit(resumed, tmp_path / "parts", config, said.append)
    assert resumed_step(said) == stop
    assert progress.step == 60
    assert torch.equal(weights(resumed), weights(whole))


def test_a_finished_run_can_be_made_longer(tmp_path):
    fit(LineTask(), tmp_path, FitConfig(steps=20), quiet)
    before = LineTask()
    progress = fit(before, tmp_path, FitConfig(steps=40), quiet)
    assert progress.step == 40
    assert [step for step, _ in progress.figures] == [20, 40]


KILLED = """
import sys
from pathlib import Path
from tests.training.test_fit import LineTask
from training.fit import FitConfig, fit
config = FitConfig(steps=200_000, checkpoint_seconds=0.1)
fit(LineTask(), Path(sys.argv[1]), config, lambda text: print(text, flush=True))
"""


def test_a_killed_run_goes_on_from_its_checkpoint_as_if_nothing_had_been(tmp_path):
    """SIGKILL at whatever moment: what comes after the last checkpoint is lost, and nothing else."""
    checkpoint = tmp_path / "run" / CHECKPOINT
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "run"], stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 300
        while not checkpoint.exists() and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    said, resumed, config = [], StopsAt(7), FitConfig(steps=200_000)
    with pytest.raises(KeyboardInterrupt):
        fit(resumed, tmp_path / "run", config, said.append)
    killed_at = resumed_step(said)
    assert 0 < killed_at < 200_000
    whole = StopsAt(killed_at + 7)
    with pytest.raises(KeyboardInterrupt):
        fit(whole, tmp_path / "whole", config, quiet)
    assert torch.equal(weights(resumed), weights(whole))


def damage_nothing(path):
    pass


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def scribble(path):
    path.write_text("This is no checkpoint.")


def forget_the_progress(path):
    save_file(load_file(path), path)


def forget_the_random_numbers(path):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    del tensors["torch_rng"]
    save_file(tensors, path, metadata)


def spoil_the_progress(path):
    save_file(load_file(path), path, {"progress": json.dumps({"step": 3})})


@pytest.mark.parametrize(
    ("damage", "model"),
    [
        (truncate, None),
        (scribble, None),
        (forget_the_progress, None),
        (forget_the_random_numbers, None),
        (spoil_the_progress, None),
        (damage_nothing, nn.Linear(1, 1)),
        (damage_nothing, nn.Sequential(nn.Linear(1, 9), nn.Tanh(), nn.Dropout(0.1), nn.Linear(9, 1))),
    ],
)
def test_a_checkpoint_that_is_damaged_or_anothers_is_said_and_kept(tmp_path, damage, model):
    fit(LineTask(), tmp_path, FitConfig(steps=3), quiet)
    damage(tmp_path / CHECKPOINT)
    kept = (tmp_path / CHECKPOINT).read_bytes()
    task = LineTask()
    task.model = model or task.model
    with pytest.raises(FitError, match="cannot be resumed") as error:
        fit(task, tmp_path, FitConfig(steps=5), quiet)
    assert "\n" not in str(error.value)
    assert (tmp_path / CHECKPOINT).read_bytes() == kept


def change_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(bytes(content))


def fill_with_zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, scribble, spoil_the_progress, change_a_byte, fill_with_zeros, empty])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    fit(LineTask(), tmp_path, FitConfig(steps=3), quiet)
    fit(LineTask(), tmp_path, FitConfig(steps=5), quiet)
    damage(tmp_path / CHECKPOINT)
    spoiled = (tmp_path / CHECKPOINT).read_bytes()
    said, task = [], LineTask()
    assert fit(task, tmp_path, FitConfig(steps=7), said.append).step == 7
    assert "the last checkpoint is damaged" in said[0] and "resuming at step 3" in said[1]
    assert (tmp_path / DAMAGED).read_bytes() == spoiled
    whole = LineTask()
    fit(whole, tmp_path / "whole", FitConfig(steps=3), quiet)
    fit(whole, tmp_path / "whole", FitConfig(steps=7), quiet)
    assert torch.equal(weights(task), weights(whole))
    said = []
    fit(LineTask(), tmp_path, FitConfig(steps=8), said.append)
    assert "resuming at step 7" in said[0]


def test_the_one_before_is_used_where_the_last_is_missing(tmp_path):
    fit(LineTask(), tmp_path, FitConfig(steps=3), quiet)
    fit(LineTask(), tmp_path, FitConfig(steps=5), quiet)
    (tmp_path / CHECKPOINT).unlink()
    said = []
    fit(LineTask(), tmp_path, FitConfig(steps=7), said.append)
    assert "resuming at step 3" in said[0]


def test_a_checkpoint_is_written_each_minute():
    assert FitConfig(steps=1).checkpoint_seconds <= 60


def test_two_fittings_into_one_folder_are_refused_while_the_first_one_runs(tmp_path):
    class Nested(LineTask):
        def loss(self, rng, step):
            with pytest.raises(FitError, match="is being fitted by another process"):
                fit(LineTask(), tmp_path, FitConfig(steps=1), quiet)
            with pytest.raises(FitError, match="is being fitted by another process"):
                check_free(tmp_path)
            return super().loss(rng, step)

    assert fit(Nested(), tmp_path, FitConfig(steps=2), quiet).step == 2
    check_free(tmp_path)
    check_free(tmp_path / "missing")
    assert fit(LineTask(), tmp_path, FitConfig(steps=3), quiet).step == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_step_lets_the_step_end(tmp_path, number):
    """The optimiser and the count of steps always agree: going on gives what one run would have given."""

    class Signalled(LineTask):
        def loss(self, rng, step):
            if step == 4:
                optimiser_step = torch.optim.Adam.step

                def step_and_signal(optimiser, *arguments):
                    torch.optim.Adam.step = optimiser_step
                    signal.raise_signal(number)
                    return optimiser_step(optimiser, *arguments)

                torch.optim.Adam.step = step_and_signal
            return super().loss(rng, step)

    kind = KeyboardInterrupt if number == signal.SIGINT else Stopped
    with pytest.raises(kind), stopping():
        fit(Signalled(), tmp_path / "parts", FitConfig(steps=9), quiet)
    said, parts = [], LineTask()
    fit(parts, tmp_path / "parts", FitConfig(steps=9), said.append)
    assert resumed_step(said) == 5
    whole = LineTask()
    fit(whole, tmp_path / "whole", FitConfig(steps=9), quiet)
    assert torch.equal(weights(parts), weights(whole))


def test_a_run_with_other_settings_is_not_gone_on_with(tmp_path):
    """The same network for another sound: its weights would fit, and be wrong."""
    fit(LineTask(), tmp_path, FitConfig(steps=3), quiet, "piano")
    with pytest.raises(FitError, match="other settings"):
        fit(LineTask(), tmp_path, FitConfig(steps=5), quiet, "violin")
    assert fit(LineTask(), tmp_path, FitConfig(steps=5), quiet, "piano").step == 5


def test_a_run_of_before_settings_were_noted_goes_on(tmp_path):
    fit(LineTask(), tmp_path, FitConfig(steps=3), quiet)
    path = tmp_path / CHECKPOINT
    with safe_open(path, "pt") as file:
        progress = json.loads(file.metadata()["progress"])
    del progress["settings"]
    save_file(load_file(path), path, {"progress": json.dumps(progress)})
    assert fit(LineTask(), tmp_path, FitConfig(steps=5), quiet, "piano").step == 5


@pytest.mark.parametrize("report_seconds", [0.0, 20.0])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(tmp_path, value, report_seconds):
    """In short runs too, in which there is no report."""
    with pytest.raises(FitError, match="learning-rate"):
        fit(BreaksAt(5, value), tmp_path, FitConfig(steps=50, report_seconds=report_seconds), quiet)


def test_a_loss_that_is_no_number_does_not_spoil_the_checkpoint(tmp_path):
    fit(LineTask(), tmp_path, FitConfig(steps=10), quiet)
    with pytest.raises(FitError):
        fit(BreaksAt(3), tmp_path, FitConfig(steps=50, checkpoint_seconds=1e-9), quiet)
    said = []
    task = LineTask()
    fit(task, tmp_path, FitConfig(steps=50), said.append)
    assert 10 <= resumed_step(said) <= 13
    assert bool(weights(task).isfinite().all())


def test_an_interrupt_after_the_loss_broke_does_not_spoil_the_checkpoint(tmp_path):
    class Both(BreaksAt):
        def loss(self, rng, step):
            loss = super().loss(rng, step)
            if not bool(loss.isfinite()) and not bool(weights(self).isfinite().all()):
                raise KeyboardInterrupt
            return loss

    with pytest.raises(KeyboardInterrupt):
        fit(Both(5), tmp_path, FitConfig(steps=50), quiet)
    assert not (tmp_path / CHECKPOINT).exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"steps": 3, "minutes": 3},
        {"steps": 0},
        {"steps": -1},
        {"minutes": 0},
        {"minutes": -1},
        {"minutes": math.nan},
        {"minutes": math.inf},
        {"steps": 3, "learning_rate": 0},
        {"steps": 3, "learning_rate": -1e-3},
        {"steps": 3, "learning_rate": math.nan},
    ],
)
def test_a_length_or_rate_that_makes_no_sense_is_refused(arguments):
    with pytest.raises(ValueError):
        FitConfig(**arguments)


def test_the_rate_warms_up_and_falls_along_a_cosine():
    config = FitConfig(steps=1000, learning_rate=1.0, warmup=100)
    rates = [config.rate(step, config.progress(step, 0)) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[49] == pytest.approx(0.5 * 0.5 * (1 + math.cos(math.pi * 0.049)))
    assert int(np.argmax(rates)) in (99, 100)
    assert rates[500] == pytest.approx(0.5)
    assert rates[1000] == pytest.approx(0.01)
    assert np.all(np.diff(rates[100:]) <= 0)


def test_the_device_is_chosen_and_said():
    device, reason = choose_device("auto")
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert ("GPU" if device.type == "cuda" else "processor") in reason
    device, reason = choose_device("cpu")
    assert device == torch.device("cpu") and "cpu" in reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_never_replaced_by_the_processor():
    with pytest.raises(FitError, match="no GPU"):
        choose_device("cuda")


@pytest.mark.parametrize("name", ["quantum", "", "CUDA", "cpu:9"])
def test_a_device_that_does_not_exist_is_refused(name):
    with pytest.raises(FitError, match="not one of auto, cpu, cuda"):
        choose_device(name)
