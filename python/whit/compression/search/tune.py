"""More trials, proposed by Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

import importlib.util
from typing import Any

from whit.compression.search.choose import Chooser, is_within, loss
from whit.compression.search.points import Point
from whit.errors import InvalidArgumentError

__all__ = ["require_optuna", "tune"]

#: Proposals are made from so many finished trials at once, however many processes there are: so they repeat.
_BATCH = 4
#: Fewer known trials than that are no ground for proposals: the first ones are then drawn at random.
_STARTUP = 5


def require_optuna() -> None:
    """Raises InvalidArgumentError where Optuna is not installed: before long work."""
    if importlib.util.find_spec("optuna") is None:
        raise InvalidArgumentError("trials: need Optuna: pip install 'whit[search]'")


def tune(chooser: Chooser, trials: int, seed: int) -> None:
    """Tries that many more recipes; `chooser.best()` then says what was found.

    Args:
        chooser: holds the budget, tries, and has what was tried: Optuna learns from that.
        trials: how many.
        seed: of the proposals; the same one gives the same.
    """
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP)
        study = optuna.create_study(sampler=sampler, direction="minimize")
        layers = {
            f"layer{index}": optuna.distributions.CategoricalDistribution(list(range(len(options))))
            for index, options in enumerate(chooser.options)
        }
        for choices, point in list(chooser.tried.items()):
            known = dict(zip(layers, choices, strict=True))
            study.add_trial(optuna.trial.create_trial(params=known, distributions=layers, value=_value(chooser, point)))
        done = 0
        while done < trials:
            asked: list[Any] = [study.ask() for _ in range(min(_BATCH, trials - done))]
            wanted = [
                tuple(each.suggest_categorical(name, known.choices) for name, known in layers.items()) for each in asked
            ]
            for each, point in zip(asked, chooser.try_all(wanted), strict=True):
                study.tell(each, _value(chooser, point))
            done += len(asked)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _value(chooser: Chooser, point: Point) -> float:
    """What is minimised; beyond a limit it is worse than anything within."""
    if point.problem:
        return 1e12
    budget = chooser.budget
    value = point.bytes / 1e3 if budget.has_accuracy else loss(point)
    if is_within(budget, point):
        return value
    over = 1e6 + max(loss(point), -200.0)
    if budget.max_bytes is not None:
        over += max(point.bytes - budget.max_bytes, 0) / 1e3
    if budget.max_ms is not None and point.ms is not None:
        over += max(point.ms - budget.max_ms, 0.0)
    return over + value
