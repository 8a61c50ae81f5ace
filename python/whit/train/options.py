"""How long and how a network is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from whit.errors import InvalidArgumentError

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """Settings of the training loop.

    Attributes:
        epochs: how often every sample is seen.
        batch_size: samples a step.
        learning_rate: the highest one.
        relative: every tensor moves in proportion to its own size: its learning rate is `learning_rate` times the root
            mean square of what it began with, at least 0.01 (after Shazeer and Stern, "Adafactor", 2018, section 8).
            For networks that are trained already, whose folded batch norms leave tensors of very different sizes; 2e-3
            to 1e-2 are good values. With "adam" alone.
        optimizer: "adam" or "sgd".
        momentum: of "sgd".
        weight_decay: share of every parameter that is added to its gradient.
        schedule: of the learning rate: "cosine" down to 0, or "constant".
        warmup: share of the training in which the learning rate rises to its highest.
        clip_norm: gradients are scaled down to this norm where theirs is larger; None: never.
        seed: of the order of samples and of all random numbers. Runs with the same seed, data and number of threads
            end with the same bytes.
        threads: of torch; None: as many as it has now.
        sign_gradient: what passes back through `binarize`, x -> -1 or 1: "clip": the gradient where |x| is at most 1
            (Hubara et al., "Binarized Neural Networks", 2016); "polynomial": times 2 - 2 |x| there (Liu et al.,
            "Bi-Real Net", 2018).
    """

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    relative: bool = False
    optimizer: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup: float = 0.0
    clip_norm: float | None = None
    seed: int = 0
    threads: int | None = None
    sign_gradient: str = "clip"

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch_size", 1), ("seed", 0), ("threads", 1)):
            value = getattr(self, name)
            if name == "threads" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise InvalidArgumentError(f"training: {name} must be a whole number of at least {low}; got {value!r}")
        for name, high in (("learning_rate", math.inf), ("weight_decay", math.inf), ("momentum", 1.0), ("warmup", 1.0)):
            value = getattr(self, name)
            number = not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
            if not number or not 0 <= value <= high or (name == "learning_rate" and value == 0):
                raise InvalidArgumentError(f"training: {name} must be a positive finite number; got {value!r}")
        if not isinstance(self.relative, bool) or (self.relative and self.optimizer != "adam"):
            raise InvalidArgumentError(
                f"training: relative must be True or False, True with adam; got {self.relative!r}"
            )
        for name, known in (
            ("optimizer", ("adam", "sgd")),
            ("schedule", ("cosine", "constant")),
            ("sign_gradient", ("clip", "polynomial")),
        ):
            if getattr(self, name) not in known:
                text = f"training: {name} must be one of {', '.join(known)}; got {getattr(self, name)!r}"
                raise InvalidArgumentError(text)
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise InvalidArgumentError(f"training: clip_norm must be above 0 or None; got {self.clip_norm!r}")
