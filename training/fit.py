"""The fitting loop: checkpoints that survive a kill, resuming, time left, a loss picture.

A run is a folder. `checkpoint.safetensors` holds the weights, the optimiser's state and, as text, the step, the
random numbers' state, the losses so far and a digest of it all; it is replaced in one move, so a kill at any moment
loses at most the time since the last one, a minute. The one before is kept as `checkpoint.before.safetensors`, for
the case that the disk has spoiled the last. `fit.lock` keeps two processes out of one run. Nothing is pickled.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from engine.errors import MusicNNError
from engine.locks import FileLock
from engine.outputs import OutputFile
from engine.stopping import uninterrupted

CHECKPOINT, BEFORE = "checkpoint.safetensors", "checkpoint.before.safetensors"
DAMAGED = "checkpoint.damaged.safetensors"
LOCK = "fit.lock"
CURVE_POINTS = 2000


class FitError(MusicNNError):
    """Fitting cannot start or go on."""


class _DamagedError(FitError):
    """A checkpoint cannot be read."""


class Task(Protocol):
    """What is fitted: a model, a loss on a fresh random batch, and figures on held-out data."""

    @property
    def model(self) -> nn.Module:
        """What is fitted."""

    def loss(self, rng: np.random.Generator, step: int) -> Tensor:
        """Loss of one batch after so many steps, a scalar with a gradient."""

    def validate(self) -> dict[str, float]:
        """Figures on data that `loss` never sees."""


@runtime_checkable
class InParts(Protocol):
    """A task whose batches can be computed in parts, by several threads at once."""

    def parts(self, rng: np.random.Generator, step: int) -> Sequence[Callable[[], Tensor]]:
        """Losses of the parts of one batch, whose mean is the batch's; the random numbers are drawn before."""


@runtime_checkable
class Finishing(Protocol):
    """A task with something to do when all steps are made."""

    def finish(self, rng: np.random.Generator, report: Callable[[str], None]) -> None:
        """Change the model for the last time."""


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast. Exactly one of `steps` and `minutes` sets the length; resumed time counts.

    betas: of Adam; adversaries want a shorter memory. optimiser: adam or rmsprop.
    """

    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 3e-3
    final_rate: float = 0.01  # of learning_rate, at the end of a half cosine
    warmup: int = 200
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    optimiser: str = "adam"
    seed: int = 0
    checkpoint_seconds: float = 60.0
    validate_seconds: float = 900.0
    report_seconds: float = 20.0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        if not 0 < (self.steps or self.minutes or 0) < math.inf:
            raise ValueError("steps or minutes must be over 0")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"a learning rate of {self.learning_rate:g} is not over 0")

    def progress(self, step: int, seconds: float) -> float:
        """Share of the fitting that is done."""
        return step / self.steps if self.steps else seconds / 60 / (self.minutes or 1)

    def rate(self, step: int, done: float) -> float:
        """Learning rate: a linear warm-up, then a half cosine."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * max(self.final_rate, cosine)


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] | None = None  # (step, mean loss since the last entry)
    figures: list[tuple[int, dict[str, float]]] | None = None
    settings: str = ""
    recent: list[Tensor] = field(default_factory=list)  # losses since the last entry

    def __post_init__(self) -> None:
        self.losses = self.losses or []
        self.figures = self.figures or []


def choose_device(wanted: str) -> tuple[torch.device, str]:
    """The device to fit on and why, in words. "auto" takes a GPU where there is one.

    Raises FitError where the wanted device is not there: nothing falls back silently.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), f"fitting on the GPU {torch.cuda.get_device_name()}"
        return torch.device("cpu"), f"fitting on the processor ({torch.get_num_threads()} threads): no GPU was found"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise FitError("--device cuda was asked for, but no GPU is available to PyTorch here")
    if wanted not in ("cpu", "cuda"):
        raise FitError(f"device {wanted!r} is not one of auto, cpu, cuda")
    return torch.device(wanted), f"fitting on {wanted}, as asked"


@functools.cache
def fits_in_bfloat16() -> bool:
    """Whether PyTorch can train an LSTM in bfloat16 on this processor: oneDNN has none for those with AVX2 only."""
    lstm = torch.nn.LSTM(2, 2)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            lstm(torch.zeros(1, 1, 2))[0].sum().backward()
    except RuntimeError:
        return False
    return True


def fast_at_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers in hardware (AVX512-BF16)."""
    able = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # the only way to ask
    return bool(able is not None and able())


def choose_precision(wanted: str, device: torch.device) -> tuple[str, str]:
    """In what numbers matrices are multiplied, and why, in words. "auto" takes bfloat16 where the processor is fast
    at it: the results differ less than those of two seeds.

    Raises FitError for a precision that there is not, or not on this device.
    """
    if wanted not in ("auto", "float32", "bfloat16"):
        raise FitError(f"precision {wanted!r} is not one of auto, float32, bfloat16")
    if wanted == "bfloat16" and device.type == "cpu" and not fits_in_bfloat16():
        raise FitError("--precision bfloat16 was asked for, but this processor cannot train recurrent layers in it")
    if wanted != "auto":
        return wanted, f"in {wanted}, as asked"
    able = torch.cuda.is_bf16_supported() if device.type == "cuda" else fast_at_bfloat16()
    return ("bfloat16", "in bfloat16") if able else ("float32", "in float32: this processor is slow at bfloat16")


def fit(
    task: Task, folder: Path, config: FitConfig, report: Callable[[str], None], settings: str = ""
) -> Progress:  # fmt: skip
    """Fit until the configured end; resume where `folder` holds a checkpoint.

    settings: what is fitted, in any words; a run that was begun with other ones is not gone on with.
    Raises FitError where another process fits in `folder`, where the checkpoint is another model's, or when the loss
    is no number any more; the last good checkpoint is kept then. A KeyboardInterrupt (Ctrl-C, and SIGTERM where
    `engine.stopping` turns it into one) saves before it is passed on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        optimiser = _optimiser(task.model, config)
        rng = np.random.default_rng(config.seed)
        progress = _resumed(task.model, folder, optimiser, rng, settings, report)
        try:
            _run(task, folder, config, report, optimiser, rng, progress)
        finally:
            with uninterrupted():
                if all(bool(weights.isfinite().all()) for weights in task.model.parameters()):
                    with suppress(FitError):
                        _note_loss(progress)
                    _save(folder, task.model, optimiser, rng, progress)
                draw_curve(progress, folder / "loss.png")
    return progress


def check_free(folder: Path) -> None:
    """Raise FitError where another process fits in this folder: before data are prepared for nothing."""
    if (folder / LOCK).is_file():
        with _only_one(folder):
            return


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run until the end of the block, or of this process."""
    lock = FileLock(folder / LOCK)
    with suppress(OSError):  # a file system without locks
        if not lock.acquire():
            raise FitError(f"{folder} is being fitted by another process: wait for it, or name another one with --run")
    try:
        yield
    finally:
        lock.release(remove=True)


def _optimiser(model: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    weights = [value for value in model.parameters() if value.requires_grad]
    if config.optimiser == "rmsprop":
        return torch.optim.RMSprop(weights, lr=config.learning_rate)
    return torch.optim.Adam(weights, lr=config.learning_rate, betas=config.betas)


def _run(
    task: Task, folder: Path, config: FitConfig, report: Callable[[str], None],
    optimiser: torch.optim.Optimizer, rng: np.random.Generator, progress: Progress,
) -> None:  # fmt: skip
    assert progress.losses is not None and progress.figures is not None
    began, before = time.monotonic(), progress.seconds
    saved = reported = validated = began
    first = progress.step
    while (done := config.progress(progress.step, progress.seconds)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = config.rate(progress.step, done)
        loss = _gradients(task, rng, progress.step)
        nn.utils.clip_grad_norm_(task.model.parameters(), config.clip)
        with uninterrupted():
            optimiser.step()
            progress.recent.append(loss.detach())
            progress.step += 1
            now = time.monotonic()
            progress.seconds = before + now - began
        if now - reported > config.report_seconds:
            mean = _note_loss(progress)
            pace = (now - began) / (progress.step - first)
            left = _left(config, progress, pace)
            report(f"step {progress.step}  {done:4.0%}  loss {mean:.4f}  {pace:.3f} s/step  {_duration(left)} left")
            reported = now
        due = now - validated > config.validate_seconds
        if due or now - saved > config.checkpoint_seconds:
            _note_loss(progress)
            _save(folder, task.model, optimiser, rng, progress)
            draw_curve(progress, folder / "loss.png")
            saved = now
        if due:
            _validate(task, progress, report)
            validated = time.monotonic()
    _note_loss(progress)
    if isinstance(task, Finishing):
        task.finish(rng, report)
    _validate(task, progress, report)


def _gradients(task: Task, rng: np.random.Generator, step: int) -> Tensor:
    """Give the weights the gradients of a batch; return its loss.

    Parts of a batch have threads of their own, each with one thread for its matrices: on two cores that is twice as
    fast as two threads for small matrices. Their gradients are added up in order, so a seed gives one result.
    """
    weights = [value for value in task.model.parameters() if value.requires_grad]
    parts = task.parts(rng, step) if isinstance(task, InParts) else [lambda: task.loss(rng, step)]

    def of_part(part: Callable[[], Tensor]) -> tuple[Tensor, Sequence[Tensor | None]]:
        loss = part() / len(parts)
        return loss.detach(), torch.autograd.grad(loss, weights, allow_unused=True)

    if len(parts) > 1:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(len(parts)) as threads:
            results = list(threads.map(of_part, parts))
    else:
        results = [of_part(parts[0])]
    for index, weight in enumerate(weights):
        given = [gradients[index] for _, gradients in results]
        present = [gradient for gradient in given if gradient is not None]
        weight.grad = torch.stack(present).sum(0) if present else None
    return torch.stack([loss for loss, _ in results]).sum()


def _note_loss(progress: Progress) -> float:
    """Take down the mean of the steps since the last time, if any. Raises FitError where it is no number."""
    assert progress.losses is not None
    if progress.recent:
        mean = float(torch.stack(progress.recent).mean())
        if not math.isfinite(mean):
            raise FitError(f"the loss is no number any more at step {progress.step}: try a lower --learning-rate")
        progress.losses.append((progress.step, mean))
        progress.recent.clear()
    return progress.losses[-1][1] if progress.losses else math.nan


def _validate(task: Task, progress: Progress, report: Callable[[str], None]) -> None:
    assert progress.figures is not None
    with evaluating(task.model):
        figures = task.validate()
    progress.figures.append((progress.step, figures))
    report("  held out: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items()))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode and without gradients, then as it was."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def _left(config: FitConfig, progress: Progress, pace: float) -> float:
    if config.steps:
        return (config.steps - progress.step) * pace
    return (config.minutes or 0) * 60 - progress.seconds


def _duration(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{max(0, round(seconds))} s"


def _save(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, rng: np.random.Generator, progress: Progress
) -> None:
    tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    tensors["torch_rng"] = torch.get_rng_state()
    text = {
        "step": progress.step, "seconds": progress.seconds, "losses": progress.losses, "figures": progress.figures,
        "rng": rng.bit_generator.state, "settings": progress.settings,
    }  # fmt: skip
    said = json.dumps(text)
    content = save(tensors, {"progress": said, "digest": _digest(tensors, said)})
    with uninterrupted():
        output = OutputFile(folder / CHECKPOINT)
        try:
            output.write(content)
            _keep_last(folder)
            output.commit(durable=True)
        finally:
            output.discard()


def _keep_last(folder: Path) -> None:
    """The last checkpoint becomes the one before; it keeps its name until the new one takes it."""
    last, before = folder / CHECKPOINT, folder / BEFORE
    if not last.exists():
        return
    before.unlink(missing_ok=True)
    try:
        before.hardlink_to(last)
    except OSError:  # a file system without hard links
        last.replace(before)


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """Of everything in a checkpoint: safetensors itself does not notice a changed byte."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _resumed(
    model: nn.Module, folder: Path, optimiser: torch.optim.Optimizer, rng: np.random.Generator, settings: str,
    report: Callable[[str], None],
) -> Progress:  # fmt: skip
    """Where the run stands: as the last checkpoint says, or the one before where that is damaged."""
    last, before = folder / CHECKPOINT, folder / BEFORE
    if not last.exists() and not before.exists():
        return Progress(settings=settings)
    try:
        progress = _load(last if last.exists() else before, model, optimiser, rng, settings)
    except _DamagedError as error:
        if not (last.exists() and before.exists()):
            raise
        try:
            progress = _load(before, model, optimiser, rng, settings)
        except FitError:
            raise error from None
        last.replace(folder / DAMAGED)
        report(f"the last checkpoint is damaged (kept as {DAMAGED}): going on from the one before")
    report(f"resuming at step {progress.step}, after {_duration(progress.seconds)}")
    return progress


def _load(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, rng: np.random.Generator, settings: str
) -> Progress:
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
            metadata = file.metadata()
        text: dict[str, Any] = json.loads(metadata["progress"])
        if metadata.get("digest", "") not in ("", _digest(tensors, metadata["progress"])):
            raise ValueError("its bytes have changed")
        if text.get("settings", settings) != settings:  # runs of older versions do not say
            raise FitError(f"{path.parent} holds a run with other settings: name another folder, or delete it")
        model.load_state_dict({n[len("model.") :]: t for n, t in tensors.items() if n.startswith("model.")})
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = tensor
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["torch_rng"])
        rng.bit_generator.state = text["rng"]
        losses = [(int(s), float(x)) for s, x in text["losses"]]
        figures = [(int(s), dict(x)) for s, x in text["figures"]]
        return Progress(int(text["step"]), float(text["seconds"]), losses, figures, settings)
    except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _DamagedError(f"{path} cannot be resumed: it is damaged or belongs to another model") from error


def draw_curve(progress: Progress, path: Path) -> None:
    """Draw the loss over the steps, logarithmic, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    if not progress.losses:
        return
    stride = max(1, len(progress.losses) // CURVE_POINTS)
    steps, losses = zip(*progress.losses[::stride], strict=True)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.semilogy(steps, losses, linewidth=1, label="loss")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(visible=True, which="both", alpha=0.3)
    figure.savefig(path, dpi=100)
