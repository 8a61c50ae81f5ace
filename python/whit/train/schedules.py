"""What changes while a network trains: the learning rate and the sparsity."""

from __future__ import annotations

import math

__all__ = ["cubic_sparsity", "learning_rate"]


def cubic_sparsity(step: int, begin: int, end: int, initial: float, final: float) -> float:
    """The share of weights that are 0 at a step; it rises fast at first, slowly at the end.

    s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3: Zhu and Gupta, "To Prune, or Not to Prune", 2017, equation 1.
    """
    if step >= end:
        return final
    if step < begin:
        return initial
    return final + (initial - final) * (1 - (step - begin) / (end - begin)) ** 3


def learning_rate(step: int, total: int, peak: float, schedule: str, warmup: int) -> float:
    """The learning rate of a step: a linear warm-up, then constant or half a cosine down to 0.

    Loshchilov and Hutter, "SGDR", 2017, equation 5 with one cycle.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
