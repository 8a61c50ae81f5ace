"""What is done to a network while it trains, as settings: pruning, rounding of weights and activations, clustering.

All moments are shares of the whole training, 0 to 1. Settings given per layer are mappings of patterns (`*`, `?`,
`[...]`) of weights' names, of the nodes that use them or of their outputs; the first that matches counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from whit.errors import InvalidArgumentError

__all__ = [
    "BLOCK",
    "ActivationQuantization",
    "BatchNormalization",
    "Binarization",
    "Clustering",
    "EntropyQuantization",
    "Pruning",
    "SignQuantization",
    "Technique",
    "WeightQuantization",
]


#: "RxC": rows and columns.
BLOCK = r"([1-9]\d?)x([1-9]\d?)"


@dataclass(frozen=True)
class Technique:
    """What all have.

    Attributes:
        layers: patterns of the layers that it is for.
        begin: when it starts.
    """

    layers: tuple[str, ...] = ("*",)
    begin: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.layers, str):
            object.__setattr__(self, "layers", (self.layers,))
        object.__setattr__(self, "layers", tuple(self.layers))
        self._share("begin")

    def _share(self, name: str, low: float = 0.0, high: float = 1.0) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise InvalidArgumentError(f"{type(self).__name__}: {name} must be in {low:g}..{high:g}; got {value!r}")

    def _from_the_start(self) -> None:
        if self.begin:
            raise InvalidArgumentError(f"{type(self).__name__}: is there from the start; got begin={self.begin!r}")

    def _count(self, name: str) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidArgumentError(f"{type(self).__name__}: {name} must be at least 1; got {value!r}")

    def _choice(self, name: str, *values: str) -> None:
        if getattr(self, name) not in values:
            text = f"{type(self).__name__}: {name} must be one of {', '.join(values)}; got {getattr(self, name)!r}"
            raise InvalidArgumentError(text)

    def matches(self, names: Sequence[str]) -> bool:
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.layers)

    def choose(self, layers: Mapping[str, Sequence[str]], what: str, value: Any) -> dict[str, Any]:
        """The setting of each layer that it is for: `value`, or what its first pattern gives.

        Raises:
            InvalidArgumentError: patterns that match nothing.
        """
        found: dict[str, Any] = {}
        patterns = dict(value) if isinstance(value, Mapping) else {"*": value}
        used: set[str] = set()
        for weight, names in layers.items():
            if not self.matches(names):
                continue
            for pattern, setting in patterns.items():
                if any(fnmatchcase(name, pattern) for name in names):
                    used.add(pattern)
                    found.setdefault(weight, setting)
        lost = [pattern for pattern in patterns if pattern not in used]
        if lost:
            known = ", ".join(f"{weight} of {names[1]}" for weight, names in layers.items()) or "none"
            raise InvalidArgumentError(
                f"{type(self).__name__}: {what}: no layer matches {lost[0]!r} (of layers {', '.join(self.layers)}); "
                f"weights: {known}"
            )
        return found


@dataclass(frozen=True)
class Pruning(Technique):
    """Gradual pruning: sparsity rises along a cubic curve, masks are found anew, the rest is retrained.

    Attributes:
        sparsity: the share of weights that end as 0, or one per layer.
        initial: where it starts.
        end: when it is reached.
        every: steps between masks; 0: a hundredth of the way.
        importance: "magnitude"; "gradient": |w g| as it adds up over the steps since the last mask (Molchanov et al.,
            "Pruning Convolutional Neural Networks for Resource Efficient Inference", 2017); "taylor": (w g)^2
            (Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019, equation 8).
        scope: "layer": every layer gets its sparsity; "global": the least important of all go, wherever they are;
            magnitudes then count relative to what is left of their layer (Lee et al., "Layer-Adaptive Sparsity for the
            Magnitude-Based Pruning", 2021).
        granularity: "element"; "channel" (of output); or "RxC", blocks of R output channels and C input channels of one
            tap: "1x4", "4x1" and "8x1" have sparse kernels.
    """

    sparsity: float | Mapping[str, float] = 0.5
    initial: float = 0.0
    end: float = 0.5
    every: int = 0
    importance: str = "magnitude"
    scope: str = "layer"
    granularity: str = "element"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._share("initial")
        self._share("end", self.begin)
        self._choice("importance", "magnitude", "gradient", "taylor")
        self._choice("scope", "layer", "global")
        if self.granularity not in ("element", "channel") and not re.fullmatch(BLOCK, self.granularity):
            raise InvalidArgumentError(
                f"Pruning: granularity must be one of element, channel and RxC; got {self.granularity!r}"
            )
        given = list(self.sparsity.values()) if isinstance(self.sparsity, Mapping) else [self.sparsity]
        for value in given:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise InvalidArgumentError(f"Pruning: sparsity must be at least 0 and below 1; got {value!r}")
        if self.scope == "global" and isinstance(self.sparsity, Mapping):
            raise InvalidArgumentError("Pruning: scope 'global' has one sparsity for all layers; got a mapping")
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 0:
            raise InvalidArgumentError(f"Pruning: every must be a number of steps; got {self.every!r}")


@dataclass(frozen=True)
class WeightQuantization(Technique):
    """Rounds weights in training; see `FakeQuantize`.

    Attributes:
        bits: 2 to 8, or one per layer.
        symmetric, granularity, scale: as in `FakeQuantize`.
    """

    begin: float = 0.5
    bits: int | Mapping[str, int] = 8
    symmetric: bool = True
    granularity: str | int = "channel"
    scale: str = "minmax"


@dataclass(frozen=True)
class SignQuantization(Technique):
    """Makes weights ternary or binary in training; see `Signs`.

    Attributes:
        kind: "ternary" or "binary", or one per layer.
        granularity: "channel" or "tensor".
    """

    begin: float = 0.5
    kind: str | Mapping[str, str] = "ternary"
    granularity: str = "channel"


@dataclass(frozen=True)
class Binarization(Technique):
    """Makes layers products of +1 and -1: signs of what they read, times signs of their weights, times a scale.

    What is read becomes sign(x + shift), with a shift for each channel that begins at -E[x] and is learned (Liu et al.,
    "ReActNet", 2020, equation 1); a relu in front that nobody else reads is left out. The scale is E|w| of each output
    channel times E|x + shift| (Rastegari et al., "XNOR-Net", 2016), and part of the weights in the result.

    A layer that is named but cannot be made binary is an UnsupportedOperatorError: the first one, those with groups
    (depthwise), or with channels that are no multiple of 8. "*" takes every convolution that can.

    Attributes:
        scale: "tensor": E|x + shift| is measured at the start and kept; "channel": from there on it is learned, for
            each output channel (Bulat and Tzimiropoulos, "XNOR-Net++", 2019).
        batches: how many are looked at for each layer when training begins.
    """

    scale: str = "channel"
    batches: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choice("scale", "tensor", "channel")
        self._from_the_start()
        self._count("batches")


@dataclass(frozen=True)
class BatchNormalization(Technique):
    """Normalises what convolutions and matrix products sum up by the statistics of each batch; see `BatchNorm`.

    It stands in the place of their bias, before a residual and an activation, and is part of weights and bias in the
    result. Networks of signs hardly learn without.

    Attributes:
        preserve: for networks that are trained already: it begins as what changes nothing, by the statistics of some
            batches. Otherwise as what gives each channel a mean of 0 and a variance of 1.
        momentum: the share of a new batch in the moving averages that the result is made of.
        batches: how many are looked at to preserve.
    """

    preserve: bool = False
    momentum: float = 0.1
    batches: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        self._share("momentum")
        self._from_the_start()
        self._count("batches")


@dataclass(frozen=True)
class EntropyQuantization(Technique):
    """Rounds weights to steps so wide that an entropy coder (storage "archive") needs few bits for one.

    Steps begin where rounding all layers together changes the results least for the number of bits, a step a layer,
    and are then learned, one per output channel, with the weights: entropy-constrained quantisation (Chou, Lookabaugh
    and Gray, 1989) with the gradients of Esser et al., "Learned Step Size Quantization", 2020, and the estimate of bits
    of Balle et al., 2017 (entropy.py).

    Attributes:
        average_bits: for a weight, over all layers. Values are whole numbers of steps, at most 127.
        strength: how far the loss rises for twice as many bits.
        batches: how many are looked at to find where steps begin.
    """

    begin: float = 0.0
    average_bits: float = 2.0
    strength: float = 30.0
    batches: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_number(self.average_bits) or not 0.1 <= self.average_bits <= 8:
            raise InvalidArgumentError(
                f"EntropyQuantization: average_bits must be in 0.1..8; got {self.average_bits!r}"
            )
        if not _is_number(self.strength) or not 0 < self.strength < float("inf"):
            raise InvalidArgumentError(
                f"EntropyQuantization: strength must be a finite number above 0; got {self.strength!r}"
            )
        self._count("batches")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Clustering(Technique):
    """Gives weights shared values and trains these; see `Palette`.

    Attributes:
        entries: values of a palette, 2 to 256 (one of them 0 where weights are pruned), or one number per layer.
        channels: output channels that share a palette; None: all of a layer.
    """

    begin: float = 0.5
    entries: int | Mapping[str, int] = 16
    channels: int | None = None


@dataclass(frozen=True)
class ActivationQuantization(Technique):
    """Rounds activations to s8 in training; see `FakeQuantizeActivation`.

    Attributes:
        tensors: which, each with the name of the group whose range it shares. None: what convolutions and matrix
            products read, each for itself; `layers` then says of which of them.
        batches: how many are looked at when it begins.
        momentum: None: the range is what these batches took; else it goes on following, as a moving average.
        freeze: when that ends.
    """

    begin: float = 0.5
    tensors: Mapping[str, str] | None = None
    batches: int = 16
    momentum: float | None = None
    freeze: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        self._share("freeze", self.begin)
        self._count("batches")
