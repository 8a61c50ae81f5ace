"""`fine_tune` and `distill`: one loop, with every technique, from models and data as users have them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from whit.data import PreprocessLike
from whit.errors import InvalidArgumentError
from whit.ir import Graph, LinearCodes
from whit.progress import ProgressCallback
from whit.progress import progress as show_progress
from whit.train.activations import FakeQuantizeActivation
from whit.train.binarization import binarized
from whit.train.losses import Distillation, Labelled, Objective, logits_of
from whit.train.mirror import TorchGraph
from whit.train.modules import in_numbers, to_graph
from whit.train.options import Options
from whit.train.samples import Samples, read_labels, read_samples
from whit.train.techniques import Binarization, Technique
from whit.train.trainer import Augment, EachEpoch, Regularizer, Trainer, run_batch

__all__ = ["TrainResult", "distill", "fine_tune", "predict"]

#: Teacher's answers are kept in memory up to so many bytes.
_MOST_KNOWN = 1 << 30


@dataclass(frozen=True)
class TrainResult:
    """What a training gives.

    Attributes:
        graph: the trained model, f32. Pruned weights are exactly 0, rounded ones lie on their grid (`Tensor.codes` says
            which), clustered ones hold the values of their palette.
        losses: the mean loss of every epoch.
        codes: of the weights that were rounded; `dequantize` gives what is in `graph`, to the bit.
        ranges: low and high of the activations that were rounded, by tensor.
        sparsity: the share of zeros of every weight.
    """

    graph: Graph
    losses: tuple[float, ...]
    codes: Mapping[str, LinearCodes] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sparsity: Mapping[str, float] = field(default_factory=dict)


def fine_tune(
    model: Any,
    data: Any,
    labels: Any,
    *,
    loss: Any = "cross_entropy",
    output: str | None = None,
    techniques: Technique | Sequence[Technique] = (),
    regularizer: Regularizer | None = None,
    augment: Augment | None = None,
    preprocess: PreprocessLike = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 0,
    each_epoch: EachEpoch | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> TrainResult:
    """Trains a model on labelled data, on with what it has learned, under any mix of techniques.

    Args:
        model: a graph, an ONNX model (a path, its bytes or a `ModelProto`) or a torch module. Not changed.
        data: samples: an array, arrays by input name, an .npz, or what `whit.data.open_data` takes. All of them are
            held in memory.
        labels: one a sample: classes (integers), or what `loss` compares with.
        loss: "cross_entropy" (of logits; a softmax at the end of the model is left out), "mse", or a function of
            (output, labels) of a batch, tensors both, that gives a scalar.
        output: the tensor that is compared; None: the first output.
        techniques: any of `Pruning`, `Clustering`, `WeightQuantization`, `SignQuantization`, `EntropyQuantization`,
            `ActivationQuantization`, `Binarization`, `BatchNormalization`.
        regularizer: a function of the `TorchGraph` that gives a scalar to add to every batch's loss, as
            `whit.train.l1` and `whit.train.rate` make them.
        augment: a function of (batch, torch.Generator) that gives the batch to train on: a tensor where the model has
            one input, else a dict.
        preprocess: how pictures become arrays, as in `whit.compress`.
        checkpoint: a file that the state is saved to, and read from where it exists: a training that was killed goes
            on there and ends with the same bytes.
        checkpoint_every: steps between saves; 0: once an epoch.
        each_epoch: called with (number of the epoch, from 1; the `TorchGraph`, in evaluation mode; mean loss) after
            each epoch, to measure, or to keep `to_graph()` of the best one. Not for epochs that a checkpoint holds.
        progress: called with (label, done, total) instead of drawing a bar.
        **options: fields of `Options`: epochs, batch_size, learning_rate, seed, ...

    Raises:
        CalibrationError: data or labels are missing, empty or do not fit.
        ShapeError: the model cannot compute with them.
        TrainingError: the loss is not finite, or the checkpoint is of another run.
        InvalidArgumentError, UnsupportedOperatorError, FormatError, FileError: what the message says.
    """
    settings = _options(options)
    graph, techniques = _prepared(to_graph(model, data, "fine_tune"), techniques)
    mirror = TorchGraph(graph, sign_gradient=settings.sign_gradient)
    samples = read_samples(data, graph, preprocess)
    objective = Labelled(loss, graph, output, read_labels(labels, len(samples)))
    path = None if checkpoint is None else Path(checkpoint)
    trainer = Trainer(
        mirror,
        objective,
        samples,
        settings,
        techniques,
        regularizer,
        augment,
        path,
        checkpoint_every,
        progress,
        each_epoch,
    )
    return _result(mirror, trainer.run(), techniques)


def distill(
    teacher: Any,
    student: Any,
    data: Any,
    *,
    temperature: float = 4.0,
    loss: str = "auto",
    outputs: Sequence[tuple[str, str]] | None = None,
    features: Sequence[tuple[str, str]] = (),
    feature_weight: float = 1.0,
    labels: Any = None,
    label_weight: float = 0.5,
    techniques: Technique | Sequence[Technique] = (),
    regularizer: Regularizer | None = None,
    augment: Augment | None = None,
    preprocess: PreprocessLike = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 0,
    each_epoch: EachEpoch | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> TrainResult:
    """Trains a student to answer as its teacher does. Needs samples alone, no labels.

    Args:
        teacher: a graph, an ONNX model or a torch module.
        student: the same, another network with the same inputs; None: the teacher itself, which the techniques then
            make smaller.
        data: see `fine_tune`; the arrays' names are the student's inputs. The teacher's inputs are those in its own
            order.
        temperature: of soft labels.
        loss: "soft_labels" (logits along the last axis), "mse", or "auto": soft labels for outputs [N, classes], else
            mse.
        outputs: pairs (teacher's tensor, student's tensor) to compare; None: the outputs in order (before a softmax at
            the end).
        features: pairs (teacher's tensor, student's tensor) inside of the networks that shall be alike as well. Where
            they differ in channels, a 1x1 convolution that is trained along stands between them.
        feature_weight: of each of these in the loss; they count relative to the teacher's own size.
        labels: classes, where some are known after all.
        label_weight: the share of the loss that these make.
        techniques: see `fine_tune`, as for all that follow.
        regularizer: a term of the loss.
        augment: changes batches.
        preprocess: how pictures become arrays.
        checkpoint: a file to go on from.
        checkpoint_every: steps between saves.
        each_epoch: called after each epoch.
        progress: called instead of drawing a bar.
        **options: fields of `Options`.

    Raises:
        As `fine_tune`.
    """
    settings = _options(options)
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not 0 < temperature < 1e6:
        raise InvalidArgumentError(f"distill: temperature must be above 0; got {temperature!r}")
    if not 0 <= label_weight <= 1:
        raise InvalidArgumentError(f"distill: label_weight must be in 0..1; got {label_weight!r}")
    theirs = to_graph(teacher, data, "distill: teacher")
    ours = theirs if student is None else to_graph(student, data, "distill: student")
    ours, techniques = _prepared(ours, techniques)
    if len(theirs.inputs) != len(ours.inputs):
        raise InvalidArgumentError(
            f"distill: the teacher has {len(theirs.inputs)} inputs, the student {len(ours.inputs)}"
        )
    mirror, guide = TorchGraph(ours, sign_gradient=settings.sign_gradient), TorchGraph(theirs).eval()
    samples = read_samples(data, ours, preprocess)

    def run(feeds: dict[str, Any], keep: Sequence[str]) -> dict[str, Any]:
        renamed = {name: feeds[other] for name, other in zip(theirs.inputs, ours.inputs, strict=True)}
        return run_batch(guide, samples, renamed, keep)

    pairs = _outputs(theirs, ours) if outputs is None else _pairs(theirs, ours, outputs)
    features = _pairs(theirs, ours, features)
    wanted = [name for name, _ in pairs]
    first = _first(run, samples, [*wanted, *(name for name, _ in features)])
    known = None
    if (
        augment is None
        and not features
        and len(samples) * sum(first[name].numel() * 4 for name in wanted) < _MOST_KNOWN
    ):
        known = _answers(run, samples, wanted, settings, progress)
    labelled: Objective | None = None
    if labels is not None:
        labelled = Labelled("cross_entropy", ours, None, read_labels(labels, len(samples)))
    objective = Distillation(
        guide,
        run,
        pairs,
        [_kind(loss, first[name]) for name in wanted],
        temperature,
        features,
        feature_weight,
        known,
        labelled,
        label_weight,
    )
    if features:
        _add_regressors(objective, mirror, samples, first, settings)
    path = None if checkpoint is None else Path(checkpoint)
    trainer = Trainer(
        mirror,
        objective,
        samples,
        settings,
        techniques,
        regularizer,
        augment,
        path,
        checkpoint_every,
        progress,
        each_epoch,
    )
    return _result(mirror, trainer.run(), techniques)


def predict(
    model: Any,
    data: Any,
    *,
    output: str | None = None,
    batch_size: int = 256,
    preprocess: PreprocessLike = None,
) -> np.ndarray:
    """One output of a model for every sample, [N, ...], computed in torch.

    Args:
        model: as in `fine_tune`.
        data: the same.
        output: a tensor; None: the first output.
        batch_size: samples at a time.
        preprocess: how pictures become arrays.

    Raises:
        As `fine_tune`.
    """
    graph = to_graph(model, data, "predict")
    mirror = TorchGraph(graph).eval()
    samples = read_samples(data, graph, preprocess)
    name = graph.outputs[0] if output is None else output
    if name not in graph.tensors or graph.tensors[name].is_constant:
        raise InvalidArgumentError(f"predict: no tensor {name!r}; outputs: {', '.join(graph.outputs)}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidArgumentError(f"predict: batch_size must be at least 1; got {batch_size!r}")
    with torch.no_grad():
        parts = [
            run_batch(mirror, samples, samples.take(index), () if name in graph.outputs else (name,))[name]
            for index in torch.arange(len(samples)).split(batch_size)
        ]
    result: np.ndarray = torch.cat(parts).numpy()
    return result


def _options(options: dict[str, Any]) -> Options:
    known = Options.__dataclass_fields__
    for name in options:
        if name not in known:
            raise InvalidArgumentError(f"training has no option {name!r}; options: {', '.join(known)}")
    return Options(**options)


def _prepared(graph: Graph, techniques: Technique | Sequence[Technique]) -> tuple[Graph, list[Technique]]:
    """The graph with the nodes that techniques put into it, and the techniques for it."""
    listed = [techniques] if isinstance(techniques, Technique) else list(techniques)
    for index, technique in enumerate(listed):
        if isinstance(technique, Binarization):
            graph, listed[index] = binarized(graph, technique)
    return graph, listed


def _outputs(theirs: Graph, ours: Graph) -> list[tuple[str, str]]:
    if len(theirs.outputs) != len(ours.outputs):
        raise InvalidArgumentError(
            f"distill: the teacher has {len(theirs.outputs)} outputs, the student {len(ours.outputs)}; "
            "give outputs=[(teacher's, student's), ...]"
        )
    both = zip(theirs.outputs, ours.outputs, strict=True)
    return [(logits_of(theirs, one), logits_of(ours, other)) for one, other in both]


def _pairs(theirs: Graph, ours: Graph, given: Sequence[Any]) -> list[tuple[str, str]]:
    """Pairs of tensors that the two networks compute, or an InvalidArgumentError."""
    for pair in given:
        if isinstance(pair, str) or len(pair) != 2:
            raise InvalidArgumentError(f"distill: pairs are (teacher's tensor, student's tensor); got {pair!r}")
        for what, graph, name in (("teacher", theirs, pair[0]), ("student", ours, pair[1])):
            if name not in graph.tensors or graph.tensors[name].is_constant:
                raise InvalidArgumentError(f"distill: the {what} computes no tensor {name!r}")
    return [(one, other) for one, other in given]


def _first(run: Any, samples: Samples, wanted: Sequence[str]) -> dict[str, Any]:
    with torch.no_grad():
        return dict(run(samples.take(torch.zeros(1, dtype=torch.int64)), tuple(dict.fromkeys(wanted))))


def _kind(loss: str, sample: Any) -> str:
    if loss not in ("auto", "soft_labels", "mse"):
        raise InvalidArgumentError(f"distill: loss must be auto, soft_labels or mse; got {loss!r}")
    if loss != "auto":
        return loss
    return "soft_labels" if sample.ndim == 2 and sample.shape[-1] > 1 else "mse"


def _answers(
    run: Any, samples: Samples, wanted: Sequence[str], options: Options, callback: ProgressCallback | None
) -> dict[str, Any]:
    """The teacher's answers for every sample: without augmentation they never change."""
    parts: dict[str, list[Any]] = {name: [] for name in wanted}
    batches = torch.arange(len(samples)).split(max(options.batch_size, 64))
    with torch.no_grad():
        for index in show_progress(batches, len(batches), "distill: teacher", callback):
            results = run(samples.take(index), tuple(wanted))
            for name, found in parts.items():
                found.append(results[name])
    return {name: torch.cat(found) for name, found in parts.items()}


def _add_regressors(
    objective: Distillation, mirror: TorchGraph, samples: Samples, first: dict[str, Any], options: Options
) -> None:
    generator = torch.Generator()
    generator.manual_seed(options.seed)
    with torch.no_grad():
        feeds = samples.take(torch.zeros(1, dtype=torch.int64))
        ours = run_batch(mirror, samples, feeds, tuple(dict.fromkeys(name for _, name in objective.features)))
    for position, (theirs, name) in enumerate(objective.features):
        got, want = ours[name].shape[-1], first[theirs].shape[-1]
        if got != want:
            objective.add_regressor(position, got, want, generator)


def _result(mirror: TorchGraph, losses: Sequence[float], techniques: Sequence[Technique]) -> TrainResult:
    ranges = {
        name: module.range
        for name, module in mirror.activations().items()
        if isinstance(module, FakeQuantizeActivation)
    }
    graph = mirror.to_graph()
    if any(isinstance(technique, Binarization) for technique in techniques):
        graph = in_numbers(graph)  # shifts become part of biases
    codes = {name: found for name in mirror.weights if (found := graph.tensors[name].codes) is not None}
    zeros = {name: float(np.mean(graph.tensors[name].data == 0)) for name in mirror.weights}
    return TrainResult(graph, tuple(losses), codes, ranges, zeros)
