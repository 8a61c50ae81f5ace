"""The training loop that all of whit.train uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from whit.errors import InvalidArgumentError, ShapeError, TrainingError
from whit.progress import ProgressCallback, progress
from whit.train.apply import Work, attach
from whit.train.checkpoint import fingerprint, graph_digest, read_checkpoint, write_checkpoint
from whit.train.losses import Objective
from whit.train.mirror import TorchGraph
from whit.train.options import Options
from whit.train.samples import Samples
from whit.train.schedules import learning_rate
from whit.train.techniques import Technique

__all__ = ["Augment", "EachEpoch", "Regularizer", "Trainer", "run_batch"]

#: (inputs, generator) -> inputs: one tensor [N, ...] where the model has one input, else a dict of them.
Augment = Callable[[Any, Any], Any]
#: A term that is added to the loss: what it makes of the network as it is.
Regularizer = Callable[[TorchGraph], Any]
#: Called with the number of epochs that are done, the network in evaluation mode, and the mean loss of the epoch.
EachEpoch = Callable[[int, TorchGraph, float], None]


def run_batch(mirror: TorchGraph, samples: Samples, feeds: dict[str, Any], keep: Sequence[str] = ()) -> dict[str, Any]:
    """Outputs and kept tensors of a batch, samples along the first axis.

    Raises:
        ShapeError: the model does not keep the samples of a batch apart.
    """
    count = len(next(iter(feeds.values())))
    if not samples.stacked:
        results: dict[str, Any] = mirror(feeds, keep)
        for name, value in results.items():
            if value.ndim == 0 or len(value) != count:
                raise ShapeError(
                    f"{name!r} is {tuple(value.shape)} for {count} samples: the model does not keep the samples of a "
                    "batch apart; use batch_size=1, or export it with an open batch axis"
                )
        return results
    each = [mirror({name: value[index] for name, value in feeds.items()}, keep) for index in range(count)]
    return {name: torch.stack([results[name] for results in each]) for name in each[0]}


@dataclass
class Trainer:
    """One training: `run` brings `mirror` to its end.

    Attributes:
        mirror: what is trained; techniques are attached to it.
        objective: the loss of a batch.
        samples: to train on.
        options: how.
        techniques: what else happens.
        regularizer, augment: see `fine_tune`.
        checkpoint: a file to save to and to go on from, or None.
        checkpoint_every: steps between checkpoints; 0: an epoch.
        callback: of the progress bar.
        each_epoch: see `fine_tune`.
    """

    mirror: TorchGraph
    objective: Objective
    samples: Samples
    options: Options
    techniques: Sequence[Technique] = ()
    regularizer: Regularizer | None = None
    augment: Augment | None = None
    checkpoint: Path | None = None
    checkpoint_every: int = 0
    callback: ProgressCallback | None = None
    each_epoch: EachEpoch | None = None

    def run(self) -> list[float]:
        """Trains; returns the mean loss of every epoch.

        Raises:
            TrainingError: the loss is not finite, or the checkpoint is of another run.
            FileError, FormatError: the checkpoint cannot be used.
        """
        with _threads(self.options.threads):
            return self._run()

    def _run(self) -> list[float]:
        self._check()
        options, count = self.options, len(self.samples)
        epoch_steps = -(-count // options.batch_size)
        total = epoch_steps * options.epochs
        run = self._fingerprint() if self.checkpoint else ""
        works = attach(self.mirror, self.techniques, total, self._calibrate)
        optimizer = self._optimizer()
        losses: list[float] = []
        state = read_checkpoint(self.checkpoint, run) if self.checkpoint else None
        first = 0
        if state is not None:
            first, losses = state["step"], state["losses"]
            self.mirror.load_state_dict(state["mirror"])
            self.objective.load_state_dict(state["objective"])
            optimizer.load_state_dict(state["optimizer"])
        if first > total:  # it had come to its end
            for work in works:
                work.show(total)
            return losses
        self.mirror.train()
        order: Any = None
        for step in progress(range(first, total), total - first, self.objective.label, self.callback):
            epoch, place = divmod(step, epoch_steps)
            if order is None or place == 0:
                order = torch.randperm(count, generator=_generator(options.seed, epoch))
            if place == 0:
                losses.append(0.0)
            for work in works:
                work.before(step)
            index = order[place * options.batch_size : (place + 1) * options.batch_size]
            loss = self._step(step, total, optimizer, works, index)
            losses[-1] += loss * len(index) / count
            if place == epoch_steps - 1 and step + 1 < total:
                self._report(losses)
            if self.checkpoint and (step + 1) % (self.checkpoint_every or epoch_steps) == 0 and step + 1 < total:
                write_checkpoint(self.checkpoint, run, self._state(step + 1, losses, optimizer))
        for work in works:
            work.before(total)
        self._check_parameters(total)
        self._report(losses)
        self.mirror.eval()
        if self.checkpoint:
            write_checkpoint(self.checkpoint, run, self._state(total + 1, losses, optimizer))
        return losses

    def _report(self, losses: list[float]) -> None:
        if self.each_epoch is None:
            return
        self.mirror.eval()
        with torch.no_grad():
            self.each_epoch(len(losses), self.mirror, losses[-1])
        self.mirror.train()

    def _check(self) -> None:
        every = self.checkpoint_every
        if isinstance(every, bool) or not isinstance(every, int) or every < 0:
            raise InvalidArgumentError(f"training: checkpoint_every must be a number of steps; got {every!r}")
        if not self.mirror.trainable:
            raise InvalidArgumentError(
                f"graph {self.mirror.graph.name!r} has nothing to train: no f32 constant of more than one element"
            )

    def _step(self, step: int, total: int, optimizer: Any, works: Sequence[Work], index: Any) -> float:
        options = self.options
        rate = learning_rate(step, total, options.learning_rate, options.schedule, round(options.warmup * total))
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("size", 1.0)
        feeds = self.samples.take(index)
        if self.augment is not None:
            feeds = self._augmented(feeds, step)
        optimizer.zero_grad(set_to_none=True)
        results = run_batch(self.mirror, self.samples, feeds, self.objective.keep)
        loss = self.objective(results, feeds, index)
        if self.regularizer is not None:
            loss = loss + self.regularizer(self.mirror)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise InvalidArgumentError(
                "training: the loss must be one number that depends on the weights, a tensor; got "
                f"{tuple(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__}"
            )
        for extra in (work.loss() for work in works):
            loss = loss if extra is None else loss + extra
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"step {step} of {total}: the loss is {value}; lower learning_rate (it is {options.learning_rate:g}), "
                "give clip_norm=1.0 or warmup=0.05, and check the labels and the scale of the data"
            )
        loss.backward()
        for work in works:
            work.after_backward(step)
        if options.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters(), options.clip_norm)
        optimizer.step()
        return value

    def _parameters(self) -> list[Any]:
        return [*self.mirror.parameters(), *self.objective.parameters()]

    def _optimizer(self) -> Any:
        options = self.options
        if options.optimizer == "adam":
            groups: list[Any] = self._parameters()
            if options.relative:
                sizes = self.mirror.sizes()
                groups = [{"params": [each], "size": sizes.get(each, 1.0)} for each in groups]
            return torch.optim.Adam(groups, options.learning_rate, weight_decay=options.weight_decay, fused=True)
        return torch.optim.SGD(
            self._parameters(),
            options.learning_rate,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            fused=True,
        )

    def _augmented(self, feeds: dict[str, Any], step: int) -> dict[str, Any]:
        assert self.augment is not None, "the caller asked"
        generator = _generator(self.options.seed, step, 1)
        if len(feeds) > 1:
            return dict(self.augment(feeds, generator))
        ((name, value),) = feeds.items()
        return {name: self.augment(value, generator)}

    def _calibrate(self, batches: int, keep: Sequence[str] = ()) -> list[torch.Tensor]:
        """The outputs, or what `keep` names, of the first batches of an order of its own, without gradients."""
        order = torch.randperm(len(self.samples), generator=_generator(self.options.seed, 0, 2))
        outputs: list[torch.Tensor] = []
        with torch.no_grad():
            for index in order.split(self.options.batch_size)[:batches]:
                results = run_batch(self.mirror, self.samples, self.samples.take(index), keep)
                outputs += [results[name] for name in keep or self.mirror.graph.outputs]
        return outputs

    def _check_parameters(self, total: int) -> None:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self._parameters()):
            raise TrainingError(
                f"after {total} steps some weights are not finite; lower learning_rate or give clip_norm=1.0"
            )

    def _state(self, step: int, losses: list[float], optimizer: Any) -> dict[str, Any]:
        return {
            "step": step,
            "losses": list(losses),
            "mirror": self.mirror.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": optimizer.state_dict(),
        }

    def _fingerprint(self) -> str:
        named = [getattr(each, "__qualname__", type(each).__qualname__) for each in (self.augment, self.regularizer)]
        return fingerprint(
            graph_digest(self.mirror.graph),
            self.samples.digest(),
            self.objective.digest(),
            self.options,
            [repr(technique) for technique in self.techniques],
            named,
            torch.get_num_threads(),
        )


def _generator(seed: int, number: int, use: int = 0) -> Any:
    """Random numbers of one epoch or step: a run that goes on needs no state of a generator."""
    generator = torch.Generator()
    generator.manual_seed(((seed * 0x9E3779B97F4A7C15) ^ (number * 0xBF58476D1CE4E5B9) ^ (use << 60)) % (1 << 63))
    return generator


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
