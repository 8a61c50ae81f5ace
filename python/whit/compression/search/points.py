"""One recipe, tried: how large the file is, how far its outputs are from the original's, how accurate it is."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from whit._core import cpu
from whit.compression.calibrate import Runner
from whit.compression.evaluate import Accuracy, EvaluationSet, Reference
from whit.compression.pipeline import Prepared, apply
from whit.compression.recipe import Recipe
from whit.compression.search.journal import digest
from whit.compression.targets import TARGETS, estimate_ms
from whit.data import Dataset, Feeds
from whit.errors import WhitError
from whit.format import write
from whit.ir import Graph
from whit.model import Model, load
from whit.version import __version__

__all__ = ["Context", "Point", "measure_ms", "try_recipe"]

#: A measured time is the best of so many rounds of so many inferences, after one that does not count.
_ROUNDS, _RUNS = 5, 5


@dataclass(frozen=True)
class Point:
    """A recipe and what it gives.

    Attributes:
        kind: "layer" where one layer differs from where the search began, "trial" where all were chosen.
        about: what was changed.
        recipe: as `Recipe.to_dict` gives it.
        bytes: of the file; 0 if it could not be made.
        noise: power of the difference of the outputs from the original's over the power of those, on a few samples.
        ms: of one inference on the target; None if no time was asked for.
        compute: digest of the operators, dtypes and shapes: what the time depends on.
        accuracy: on the evaluation data; of trials only.
        problem: why it could not be made, or "".
    """

    kind: str
    about: str
    recipe: Mapping[str, Any]
    bytes: int = 0
    noise: float = math.inf
    ms: float | None = None
    compute: str = ""
    accuracy: Accuracy | None = None
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; an infinite noise is null."""
        accuracy = None if self.accuracy is None else self.accuracy.to_dict()
        noise = self.noise if math.isfinite(self.noise) else None
        return {**asdict(self), "recipe": dict(self.recipe), "accuracy": accuracy, "noise": noise}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Point:
        """The reverse of `to_dict`."""
        accuracy = None if values["accuracy"] is None else Accuracy.from_dict(values["accuracy"])
        noise = math.inf if values["noise"] is None else values["noise"]
        return cls(**{**values, "accuracy": accuracy, "noise": noise})


@dataclass(frozen=True)
class Context:
    """What all points of a search have in common; can be sent to other processes.

    Attributes:
        prepared: the model, with all calibration data.
        few: a part of that data: on it layers are calibrated and outputs compared.
        outputs: of the original on those, one mapping a run.
        samples: evaluation data.
        reference: what the original gives on that.
        target: of `Budget`; "" if no time is asked for.
        threads: of one inference; None as `whit.load` takes it.
        identity: digest of model and data.
    """

    prepared: Prepared
    few: Dataset | None
    outputs: Sequence[Mapping[str, np.ndarray]]
    samples: EvaluationSet
    reference: Reference
    target: str
    threads: int | None
    identity: str

    @classmethod
    def of(
        cls,
        prepared: Prepared,
        samples: EvaluationSet,
        reference: Reference,
        *,
        few: int,
        target: str,
        threads: int | None = None,
    ) -> Context:
        """Runs the original on a few of the samples."""
        part = (samples.data if prepared.data is None else prepared.data).take(few)
        runner = _runner(prepared.reference, [], threads)
        outputs = [{name: np.array(value) for name, value in runner.run(feeds).items()} for feeds in part]
        identity = digest(__version__, few, _model_digest(prepared), _data_digest(prepared.data), _set_digest(samples))
        return cls(prepared, part, outputs, samples, reference, target, threads, identity)

    def key(self, kind: str, recipe: Recipe) -> str:
        """Of a point in the journal."""
        estimated = self.target if self.target in TARGETS else ""
        return digest(self.identity, kind, estimated, recipe.to_dict())

    def time_key(self, compute: str) -> str:
        """Of a measured time in the journal: it holds for this machine."""
        return digest(self.identity, "ms", cpu()["isa"], cpu()["default_threads"], self.threads, compute)

    def portable(self, threads: int) -> Context:
        """The same with its samples in memory, to be sent to where their files are not."""
        data = None if self.prepared.data is None else _in_memory(self.prepared.data)
        few = None if self.few is None else _in_memory(self.few)
        samples = replace(self.samples, data=_in_memory(self.samples.data))
        return replace(self, prepared=replace(self.prepared, data=data), few=few, samples=samples, threads=threads)


def try_recipe(context: Context, kind: str, about: str, recipe: Recipe) -> Point:
    """Applies a recipe and measures what comes out; one that does not fit the model is a point with a problem."""
    point = Point(kind, about, recipe.to_dict())
    trial = kind == "trial"
    prepared = context.prepared if trial else replace(context.prepared, data=_part(context))
    runner = partial(_runner, threads=context.threads)
    try:
        _, graph = apply(prepared, recipe, runner=runner, callback=_silent, errors=trial)
        file = write(graph, recipe.storage)
        with load(file, context.threads) as model:
            noise = _noise(context, model)
            accuracy = context.reference.evaluate(model, context.samples, _silent) if trial else None
    except (WhitError, np.linalg.LinAlgError) as problem:
        return replace(point, problem=f"{type(problem).__name__}: {problem}")
    ms = estimate_ms(graph, context.target) if context.target in TARGETS else None
    return replace(point, bytes=len(file), noise=noise, ms=ms, compute=_compute(graph), accuracy=accuracy)


def measure_ms(context: Context, recipe: Recipe) -> float:
    """Milliseconds of one inference on this machine: of the operators' sum, the best of some rounds."""
    prepared = replace(context.prepared, data=_part(context))
    _, graph = apply(prepared, recipe, callback=_silent, errors=False)
    feeds = next(iter(context.samples.data))
    with load(write(graph), context.threads) as model:
        model.run(feeds)
        return min(model.profile(feeds, _RUNS).total_ms for _ in range(_ROUNDS))


def _part(context: Context) -> Dataset | None:
    return None if context.prepared.data is None else context.few


def _runner(graph: Graph, observe: Sequence[str], threads: int | None) -> Runner:
    """As `engine_runner`, with so many threads."""
    session: Runner = load(write(graph), threads).session(observe=list(observe))
    return session


def _silent(label: str, done: int, total: int | None) -> None:
    """The search shows its own progress."""


def _noise(context: Context, model: Model) -> float:
    """Mean over the outputs of noise over signal."""
    signal = dict.fromkeys(context.prepared.reference.outputs, 0.0)
    noise = dict(signal)
    assert context.few is not None
    for feeds, before in zip(context.few, context.outputs, strict=True):
        after = model.run(feeds)
        for name in signal:
            wide = before[name].astype(np.float64)
            signal[name] += float(np.square(wide).sum())
            noise[name] += float(np.square(after[name].astype(np.float64) - wide).sum())
    found = float(np.mean([noise[name] / signal[name] if signal[name] else float(noise[name] > 0) for name in signal]))
    return found if math.isfinite(found) else math.inf


def _compute(graph: Graph) -> str:
    """Digest of what the time of an inference depends on."""
    return digest(
        [
            [
                node.op,
                [[graph.tensors[name].dtype, _shape(graph, name)] for name in (*node.inputs, *node.outputs) if name],
            ]
            for node in graph.nodes
        ]
    )


def _shape(graph: Graph, name: str) -> list[Any] | None:
    shape = graph.tensors[name].shape
    return None if shape is None else list(shape)


def _model_digest(prepared: Prepared) -> str:
    """Of the optimised model, which the file begins with, and what goes into the file beside it."""
    about = digest(prepared.graph.metadata, {name: each.to_dict() for name, each in prepared.preprocess.items()})
    return about + hashlib.sha256(write(prepared.reference)).hexdigest()


def _data_digest(data: Dataset | None) -> str:
    total = hashlib.sha256()
    for feeds in data or ():
        for name, array in sorted(feeds.items()):
            total.update(f"{name} {array.dtype} {array.shape}".encode())
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _set_digest(samples: EvaluationSet) -> str:
    labels = b"" if samples.labels is None else samples.labels.astype("<i8").tobytes()
    return _data_digest(samples.data) + hashlib.sha256(labels).hexdigest()


def _in_memory(data: Dataset) -> Dataset:
    feeds: list[Feeds] = list(data)
    return Dataset(len(feeds), partial(iter, feeds))
