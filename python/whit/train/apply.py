"""Techniques at work: attached to a mirror, and told of every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch

from whit.errors import InvalidArgumentError
from whit.ir import PRODUCTS
from whit.train.activations import FakeQuantizeActivation
from whit.train.binarization import Layer, layers_of
from whit.train.entropy import even_steps, laplace_bits, sensitivity
from whit.train.mirror import TorchGraph
from whit.train.samples import batched
from whit.train.schedules import cubic_sparsity
from whit.train.techniques import (
    ActivationQuantization,
    BatchNormalization,
    Binarization,
    Clustering,
    EntropyQuantization,
    Pruning,
    SignQuantization,
    Technique,
    WeightQuantization,
)
from whit.train.transforms import FakeQuantize, Palette, Prune, ScaledSigns, Signs, Transform

__all__ = ["Work", "attach"]


class Calibrate(Protocol):
    """Runs the mirror on so many batches, without gradients; gives what `keep` names, or its outputs."""

    def __call__(self, batches: int, keep: Sequence[str] = ()) -> list[torch.Tensor]: ...


class Work:
    """One technique on one mirror.

    `before` is called before every step, from 0 or from where a checkpoint left off, and once more with the number of
    steps, after the last. Whatever was to begin or end at that moment or later happens then.
    """

    def before(self, step: int) -> None:
        """What happens at this step; then `show`."""
        raise NotImplementedError

    def show(self, step: int) -> None:
        """Switches on and off what is so at this step; changes nothing that a checkpoint holds."""

    def loss(self) -> Any:
        """What it adds to the loss, a scalar tensor, or None."""
        return None

    def after_backward(self, step: int) -> None:
        """Looks at the gradients."""


def attach(mirror: TorchGraph, techniques: Sequence[Technique], total: int, calibrate: Calibrate) -> list[Work]:
    """Attaches techniques to a mirror for a training of `total` steps: prune, cluster, round, normalise, in this order.

    Raises:
        InvalidArgumentError: settings that do not fit each other or the graph.
    """
    order = (
        Pruning,
        Clustering,
        WeightQuantization,
        SignQuantization,
        EntropyQuantization,
        ActivationQuantization,
        Binarization,
        BatchNormalization,
    )
    for technique in techniques:
        if not isinstance(technique, order):
            raise InvalidArgumentError(f"{technique!r} is no technique; give {', '.join(k.__name__ for k in order)}")
    works: list[Work] = []
    for technique in sorted(techniques, key=lambda each: order.index(type(each))):
        layers = {name: mirror.users(name) for name in mirror.weights}
        if isinstance(technique, Pruning):
            works.append(_PruneWork(mirror, technique, layers, total))
        elif isinstance(technique, Clustering):
            entries = technique.choose(layers, "entries", technique.entries)
            made = {name: Palette(_shape(mirror, name), each, technique.channels) for name, each in entries.items()}
            works.append(_TransformWork(mirror, made, round(technique.begin * total)))
        elif isinstance(technique, WeightQuantization):
            works.append(_TransformWork(mirror, _quantizers(mirror, technique, layers), round(technique.begin * total)))
        elif isinstance(technique, SignQuantization):
            kinds = technique.choose(layers, "kind", technique.kind)
            signs = {
                name: Signs(_shape(mirror, name), each, granularity=technique.granularity)
                for name, each in kinds.items()
            }
            works.append(_TransformWork(mirror, signs, round(technique.begin * total)))
        elif isinstance(technique, EntropyQuantization):
            works.append(_EntropyWork(mirror, technique, layers, total, calibrate))
        elif isinstance(technique, ActivationQuantization):
            works.append(_ActivationWork(mirror, technique, total, calibrate))
        elif isinstance(technique, Binarization):
            works.append(_BinarizeWork(mirror, technique, calibrate))
        else:
            assert isinstance(technique, BatchNormalization), "checked above"
            works.append(_NormalizeWork(mirror, technique, layers, calibrate))
    return works


def _shape(mirror: TorchGraph, name: str) -> tuple[int, ...]:
    return tuple(mirror.parameter(name).shape)


def _quantizers(
    mirror: TorchGraph, technique: WeightQuantization, layers: dict[str, list[str]]
) -> dict[str, Transform]:
    return {
        name: FakeQuantize(
            _shape(mirror, name),
            bits,
            symmetric=technique.symmetric,
            granularity=technique.granularity,
            scale=technique.scale,
        )
        for name, bits in technique.choose(layers, "bits", technique.bits).items()
    }


class _TransformWork(Work):
    """Transforms that are fitted at one step and active from then on."""

    def __init__(self, mirror: TorchGraph, transforms: dict[str, Any], begin: int) -> None:
        self.mirror, self.transforms, self.begin = mirror, transforms, begin
        for name, transform in transforms.items():
            transform.active = False
            mirror.attach(name, transform)

    def before(self, step: int) -> None:
        if step == self.begin:
            with torch.no_grad():
                for name, transform in self.transforms.items():
                    transform.fit(self.mirror.value_before(name, transform))
        self.show(step)

    def show(self, step: int) -> None:
        for transform in self.transforms.values():
            transform.active = step >= self.begin


class _EntropyWork(_TransformWork):
    """Rounds to learned steps, which begin with as many bits as are wanted, and holds these down."""

    def __init__(
        self,
        mirror: TorchGraph,
        technique: EntropyQuantization,
        layers: dict[str, list[str]],
        total: int,
        calibrate: Calibrate,
    ) -> None:
        chosen = technique.choose(layers, "layers", None)
        made = {name: FakeQuantize(_shape(mirror, name), scale="learned") for name in chosen}
        super().__init__(mirror, made, round(technique.begin * total))
        self.technique, self.calibrate = technique, calibrate
        self.count = sum(mirror.parameter(name).numel() for name in made)

    def before(self, step: int) -> None:
        if step == self.begin:
            self.show(-1)
            told = sensitivity(
                {name: self.mirror.parameter(name) for name in self.transforms},
                lambda: self.calibrate(self.technique.batches),
            )
            rows = {name: each.blocks.split(self._incoming(name)) for name, each in self.transforms.items()}
            for name, value in even_steps(rows, told, self.technique.average_bits).items():
                self.transforms[name].start_at(rows[name], value)
        self.show(step)

    def loss(self) -> Any:
        if not all(each.active for each in self.transforms.values()):
            return None
        bits: Any = 0.0
        for name, each in self.transforms.items():
            w = self.mirror.value_before(name, each)
            bits = bits + laplace_bits(each.blocks.split(w) / each.grid(w).scale).sum()
        return self.technique.strength * torch.relu(bits / (self.count * self.technique.average_bits) - 1)

    def _incoming(self, name: str) -> torch.Tensor:
        with torch.no_grad():
            return self.mirror.value_before(name, self.transforms[name])


class _PruneWork(Work):
    def __init__(self, mirror: TorchGraph, technique: Pruning, layers: dict[str, list[str]], total: int) -> None:
        self.mirror, self.technique = mirror, technique
        self.final = technique.choose(layers, "sparsity", technique.sparsity)
        self.begin, self.end = round(technique.begin * total), round(technique.end * total)
        self.every = technique.every or max(1, (self.end - self.begin) // 100)
        self.masks = {name: Prune(_shape(mirror, name), technique.granularity) for name in self.final}
        for name, mask in self.masks.items():
            mirror.attach(name, mask)

    def before(self, step: int) -> None:
        due = step == self.end or (step - self.begin) % self.every == 0
        if self.begin <= step <= self.end and due:
            self._update(step)

    def after_backward(self, step: int) -> None:
        """Adds up what the loss would change by without a group, to first order: (sum of w g over the group)."""
        if self.technique.importance == "magnitude" or step >= self.end:
            return
        with torch.no_grad():
            for name, mask in self.masks.items():
                w = self.mirror.parameter(name)
                if w.grad is None:
                    continue
                change = mask.groups(w * w.grad).sum(dim=1)
                mask.score += change.abs() if self.technique.importance == "gradient" else change.square()

    def _kept(self, name: str, step: int) -> int:
        """How many groups a layer keeps at a step, at least one."""
        groups = len(self.masks[name].mask)
        sparsity = cubic_sparsity(step, self.begin, self.end, self.technique.initial, self.final[name])
        return max(1, groups - round(sparsity * groups))

    def _update(self, step: int) -> None:
        # Before the first gradient there is nothing but magnitudes.
        told = self.technique.importance != "magnitude" and any(bool(mask.score.any()) for mask in self.masks.values())
        scores = [self._scores(name, told) for name in self.masks]
        counts = [self._kept(name, step) for name in self.masks]
        if self.technique.scope == "layer":
            kept = [_largest(score, count) for score, count in zip(scores, counts, strict=True)]
        else:
            kept = list(_largest(torch.cat(scores), sum(counts)).split([len(score) for score in scores]))
        for mask, score, keep in zip(self.masks.values(), scores, kept, strict=True):
            keep[score.argmax()] = True  # no layer may go altogether
            mask.keep(keep)

    def _scores(self, name: str, told: bool) -> Any:
        mask = self.masks[name]
        if not told:
            squares = mask.groups(self.mirror.parameter(name).detach()).square().sum(dim=1)
            return squares if self.technique.scope == "layer" else _relative(squares)
        return torch.where(mask.mask, mask.score, -1.0)  # what is gone has no gradient and stays so


def _relative(squares: Any) -> Any:
    """Squared magnitudes made comparable between layers: each over the sum of all that are not smaller.

    Lee et al., "Layer-Adaptive Sparsity for the Magnitude-Based Pruning", 2021, equation 2.
    """
    ordered, places = squares.double().sort(stable=True)
    rest = ordered.flip(0).cumsum(0).flip(0)
    scores = torch.empty_like(ordered)
    scores[places] = ordered / rest.clamp(min=1e-300)
    return scores


def _largest(scores: Any, count: int) -> Any:
    """A mask of the `count` largest; of equal ones the first."""
    bound = scores.kthvalue(len(scores) - count + 1).values
    mask = scores > bound
    mask[(scores == bound).nonzero().ravel()[: count - int(mask.sum())]] = True
    return mask


class _ActivationWork(Work):
    def __init__(self, mirror: TorchGraph, technique: ActivationQuantization, total: int, calibrate: Calibrate) -> None:
        self.mirror, self.technique, self.calibrate = mirror, technique, calibrate
        self.begin, self.freeze = round(technique.begin * total), round(technique.freeze * total)
        groups: dict[str, list[str]] = {}
        for name, group in (technique.tensors or {name: name for name in _read_by_products(mirror, technique)}).items():
            groups.setdefault(group, []).append(name)
        self.modules = [FakeQuantizeActivation(technique.momentum) for _ in groups]
        for names, module in zip(groups.values(), self.modules, strict=True):
            module.active = module.observing = False
            mirror.observe(names, module)

    def before(self, step: int) -> None:
        if step == self.begin:
            self._look()
        self.show(step)

    def show(self, step: int) -> None:
        for module in self.modules:
            module.active = step >= self.begin
            module.observing = self.technique.momentum is not None and self.begin <= step < self.freeze

    def _look(self) -> None:
        for module in self.modules:
            module.active, module.observing = False, True
        self.calibrate(self.technique.batches)


def _read_by_products(mirror: TorchGraph, technique: ActivationQuantization) -> Iterator[str]:
    """What convolutions and matrix products read: data and residuals."""
    graph, seen = mirror.graph, set()
    for node in graph.nodes:
        if node.op not in PRODUCTS or not technique.matches([node.name, *node.outputs]):
            continue
        for position in (0, 3):
            name = node.input(position)
            if name and name not in seen and not graph.tensors[name].is_constant:
                seen.add(name)
                yield name


class _BinarizeWork(Work):
    """Signs in place of the weights of layers that read signs; shifts and scales begin as what the layers read."""

    def __init__(self, mirror: TorchGraph, technique: Binarization, calibrate: Calibrate) -> None:
        self.mirror, self.technique, self.calibrate = mirror, technique, calibrate
        self.readers: dict[str, list[tuple[Layer, ScaledSigns]]] = {}  # by what they read, in order
        for layer in layers_of(mirror.graph, technique):
            weights = layer.node.inputs[1]
            transform = ScaledSigns(_shape(mirror, weights), learned=technique.scale == "channel")
            mirror.attach(weights, transform)
            self.readers.setdefault(layer.source, []).append((layer, transform))

    def before(self, step: int) -> None:
        if step == 0:
            for source, readers in self.readers.items():  # layers in front of it are binary by then
                self._start(source, readers)

    def _start(self, source: str, readers: list[tuple[Layer, ScaledSigns]]) -> None:
        seen = torch.cat([x.reshape(-1, x.shape[-1]) for x in self.calibrate(self.technique.batches, (source,))])
        mean = seen.mean(dim=0)
        for layer, transform in readers:
            with torch.no_grad():
                self.mirror.parameter(layer.shift).copy_(-mean)
            transform.start_at(float((seen - mean).abs().mean()))


class _NormalizeWork(Work):
    def __init__(
        self, mirror: TorchGraph, technique: BatchNormalization, layers: dict[str, list[str]], calibrate: Calibrate
    ) -> None:
        if not batched(mirror.graph):
            raise InvalidArgumentError("BatchNormalization: the inputs of the model have no common axis of samples")
        self.technique, self.calibrate = technique, calibrate
        chosen = technique.choose(layers, "layers", None)
        nodes = [node for node in mirror.graph.nodes if node.op in ("conv", "gemm") and node.inputs[1] in chosen]
        self.norms = []
        for node in nodes:
            norm = mirror.normalize(node.name, technique.momentum)
            if technique.preserve and node.input(2):
                with torch.no_grad():
                    norm.shift.copy_(torch.from_numpy(mirror.graph.tensors[node.inputs[2]].data))
            norm.observing = technique.preserve
            self.norms.append(norm)

    def before(self, step: int) -> None:
        if step == 0 and self.technique.preserve:
            self.calibrate(self.technique.batches)
            for norm in self.norms:
                norm.settle()
        self.show(step)

    def show(self, step: int) -> None:  # noqa: ARG002
        for norm in self.norms:
            norm.observing = False
