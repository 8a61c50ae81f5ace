"""What a network is trained for: labels, a teacher's answers, its features."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from whit.errors import CalibrationError, InvalidArgumentError, ShapeError
from whit.ir import Graph
from whit.train.checkpoint import graph_digest
from whit.train.mirror import TorchGraph
from whit.train.tensor import Tensor

__all__ = ["Distillation", "Labelled", "Objective", "logits_of", "soft_labels"]


class Objective(nn.Module):
    """The loss of a batch.

    Attributes:
        keep: tensors of the network that it needs besides the outputs.
        label: of the progress bar.
    """

    keep: tuple[str, ...] = ()
    label: ClassVar[str]

    def forward(self, results: dict[str, Tensor], feeds: dict[str, Tensor], index: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            results: outputs and kept tensors.
            feeds: what went in.
            index: which samples these are.
        """
        raise NotImplementedError

    def digest(self) -> str:
        """Of all that the loss depends on besides the network and the samples."""
        raise NotImplementedError


def logits_of(graph: Graph, output: str | None) -> str:
    """The tensor that holds the logits of an output: what goes into a softmax that makes it, or the output itself.

    Raises:
        InvalidArgumentError: no such tensor.
    """
    name = graph.outputs[0] if output is None else output
    if name not in graph.tensors or graph.tensors[name].is_constant:
        raise InvalidArgumentError(f"output: no tensor {name!r}; outputs: {', '.join(graph.outputs)}")
    producer = graph.producer(name)
    return producer.inputs[0] if producer is not None and producer.op in ("softmax", "log_softmax") else name


class Labelled(Objective):
    """Against labels: "cross_entropy" on logits, "mse", or a function of (output, labels)."""

    label = "fine-tune"

    def __init__(
        self, loss: str | Callable[[Tensor, Tensor], Tensor], graph: Graph, output: str | None, labels: Tensor
    ):
        super().__init__()
        if not callable(loss) and loss not in ("cross_entropy", "mse"):
            raise InvalidArgumentError(f"loss must be cross_entropy, mse or a function; got {loss!r}")
        self.loss = loss
        self.name = logits_of(graph, output) if loss == "cross_entropy" else output or graph.outputs[0]
        self.keep = (self.name,)
        self.labels = labels
        if loss == "cross_entropy" and labels.dtype == torch.int64 and int(labels.min()) < 0:
            raise CalibrationError(f"labels: classes are counted from 0; got {int(labels.min())}")

    def forward(self, results: dict[str, Tensor], feeds: dict[str, Tensor], index: Tensor) -> Tensor:  # noqa: ARG002
        output, labels = results[self.name], self.labels[index]
        if callable(self.loss):
            return self.loss(output, labels)
        if self.loss == "mse":
            if output.shape != labels.shape:
                raise ShapeError(
                    f"labels are {tuple(labels.shape)} a batch, output {self.name!r} is {tuple(output.shape)}"
                )
            return F.mse_loss(output, labels.to(output.dtype))
        classes = output.shape[-1]
        if labels.dtype == torch.int64 and labels.ndim == 1 and int(labels.max()) >= classes:
            raise CalibrationError(
                f"labels: class {int(labels.max())}, but {self.name!r} has {classes}, counted from 0"
            )
        rows = output.reshape(len(output), -1) if labels.ndim == 1 else output
        if rows.shape[-1] != classes or (labels.ndim > 1 and labels.shape != rows.shape):
            raise ShapeError(
                f"cross_entropy: output {self.name!r} is {tuple(output.shape)}, labels {tuple(labels.shape)}; wanted "
                "[N, classes] and [N] classes, or [N, classes] probabilities"
            )
        return F.cross_entropy(rows, labels)

    def digest(self) -> str:
        kind = self.loss if isinstance(self.loss, str) else getattr(self.loss, "__qualname__", "?")
        return f"{kind} {self.name} {hashlib.sha256(self.labels.numpy().tobytes()).hexdigest()}"


def soft_labels(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over samples; logits lie along the last axis.

    Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """
    wanted, got = (F.log_softmax(logits / temperature, dim=-1) for logits in (teacher, student))
    rows = got.numel() // got.shape[-1]
    return temperature**2 * F.kl_div(got, wanted, reduction="sum", log_target=True) / rows


class Distillation(Objective):
    """Against a teacher.

    Args:
        teacher: the mirror to learn from.
        run: runs it on feeds and hands out tensors besides.
        pairs: (teacher's logits or output, student's), compared by soft labels or squared differences.
        kinds: "soft_labels" or "mse" for each pair.
        temperature: of the soft labels.
        features: (teacher's tensor, student's tensor), compared by squared differences, relative to the teacher's.
        feature_weight: of each of these.
        known: the teacher's tensors of every sample, where they were computed beforehand.
        labelled: another objective, of labels, or None.
        label_weight: its share of the loss; the rest is the teacher's.
    """

    label = "distill"

    def __init__(
        self,
        teacher: TorchGraph,
        run: Callable[[dict[str, Tensor], Sequence[str]], dict[str, Tensor]],
        pairs: Sequence[tuple[str, str]],
        kinds: Sequence[str],
        temperature: float,
        features: Sequence[tuple[str, str]] = (),
        feature_weight: float = 1.0,
        known: dict[str, Tensor] | None = None,
        labelled: Objective | None = None,
        label_weight: float = 0.0,
    ) -> None:
        super().__init__()
        # Not submodules: the teacher is neither trained nor saved.
        self._outside = {"teacher": teacher, "known": known}
        self.run, self.pairs, self.kinds, self.temperature = run, tuple(pairs), tuple(kinds), temperature
        self.features, self.feature_weight = tuple(features), feature_weight
        self.labelled, self.label_weight = labelled, label_weight
        self.regressors = nn.ModuleDict()
        extra = labelled.keep if labelled is not None else ()
        self.keep = tuple(dict.fromkeys([*(s for _, s in (*self.pairs, *self.features)), *extra]))
        self.wanted = tuple(dict.fromkeys(t for t, _ in (*self.pairs, *self.features)))

    def add_regressor(self, position: int, student: int, teacher: int, generator: Any) -> None:
        """A 1x1 convolution from the student's channels to the teacher's (Romero et al., "FitNets", 2015)."""
        linear = nn.Linear(student, teacher)
        with torch.no_grad():
            linear.weight.normal_(0, student**-0.5, generator=generator)
            linear.bias.zero_()
        self.regressors[str(position)] = linear

    def forward(self, results: dict[str, Tensor], feeds: dict[str, Tensor], index: Tensor) -> Tensor:
        known = self._outside["known"]
        if known is not None:
            told = {name: values[index] for name, values in known.items()}
        else:
            with torch.no_grad():
                told = self.run(feeds, self.wanted)
        loss: Any = 0.0
        for (theirs, ours), kind in zip(self.pairs, self.kinds, strict=True):
            got, want = results[ours], told[theirs]
            if got.shape != want.shape:
                raise ShapeError(
                    f"the student's {ours!r} is {tuple(got.shape)}, the teacher's {theirs!r} {tuple(want.shape)}; "
                    "both must give the same outputs"
                )
            loss = loss + (soft_labels(got, want, self.temperature) if kind == "soft_labels" else F.mse_loss(got, want))
        if self.labelled is not None:
            label_loss = self.labelled(results, feeds, index)
            loss = (1 - self.label_weight) * loss + self.label_weight * label_loss
        for position, (theirs, ours) in enumerate(self.features):
            got, want = results[ours], told[theirs]
            if str(position) in self.regressors:
                got = self.regressors[str(position)](got)
            if got.shape != want.shape:
                raise ShapeError(
                    f"features: the student's {ours!r} is {tuple(got.shape)}, the teacher's {theirs!r} "
                    f"{tuple(want.shape)}; pair tensors that differ in channels (the last axis) alone"
                )
            loss = loss + self.feature_weight * F.mse_loss(got, want) / (want.square().mean() + 1e-12)
        return loss

    def digest(self) -> str:
        teacher = self._outside["teacher"]
        assert isinstance(teacher, TorchGraph), "set above"
        label = None if self.labelled is None else self.labelled.digest()
        settings = (
            self.pairs,
            self.kinds,
            self.temperature,
            self.features,
            self.feature_weight,
            self.label_weight,
            label,
        )
        return f"{graph_digest(teacher.graph)} {settings}"
