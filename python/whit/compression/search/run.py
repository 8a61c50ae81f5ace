"""The search itself: measure layers, choose, try, until the budgets hold."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from whit.compression.pipeline import prepare
from whit.compression.recipe import Recipe, RecipeLike
from whit.compression.search.assign import for_layers, layers_of, options_of, recipe_of
from whit.compression.search.budget import Budget
from whit.compression.search.candidates import CANDIDATES, Candidate, describe, usable
from whit.compression.search.choose import Chooser
from whit.compression.search.journal import Journal
from whit.compression.search.points import Context, Point, measure_ms
from whit.compression.search.solver import Option
from whit.compression.search.workers import Task, Worker, open_workers
from whit.data import PreprocessLike
from whit.errors import BudgetError, CalibrationError, InvalidArgumentError, RecipeError
from whit.ir import Node
from whit.progress import ProgressCallback, progress

if TYPE_CHECKING:
    import onnx

    from whit.ir import Graph

__all__ = ["SearchResult", "search"]


@dataclass(frozen=True)
class LayerChoice:
    """One layer of the search.

    Attributes:
        name: of the operator.
        chosen: what was chosen for it, in words.
        options: what could have been: in words, and against where the search began.
    """

    name: str
    chosen: str
    options: tuple[tuple[str, Option], ...]


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        recipe: an ordinary recipe, to be given to `whit.compress`, stored or printed.
        best: what it gives.
        budget: what was asked for.
        points: everything that was tried, in a fixed order.
        layers: what was chosen for each layer.
    """

    recipe: Recipe
    best: Point
    budget: Budget
    points: tuple[Point, ...]
    layers: tuple[LayerChoice, ...]

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers)
        trials = sum(point.kind == "trial" for point in self.points)
        lines = [f"{layer.name.ljust(width)}  {layer.chosen}" for layer in self.layers]
        return "\n".join([*lines, "", f"search  {len(self.points)} points, {trials} of them tried in full"])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with stable keys."""
        return {
            "budget": self.budget.to_dict(),
            "best": self.best.to_dict(),
            "points": [point.to_dict() for point in self.points],
            "layers": [
                {
                    "name": layer.name,
                    "chosen": layer.chosen,
                    "options": [
                        {"about": about, "damage": option.damage, "bytes": option.bytes, "ms": option.ms}
                        for about, option in layer.options
                    ],
                }
                for layer in self.layers
            ],
        }

    def to_svg(self) -> str:
        """A picture of the front with every point."""
        from whit.compression.search.picture import front_picture

        return front_picture(self)

    def sections(self) -> list[str]:
        """Parts of an HTML page (`whit.compression.page.report_page`)."""
        from whit.compression.search.picture import sections

        return sections(self)


def search(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto | Graph,
    budget: Budget,
    data: Any = None,
    *,
    evaluation: Any = None,
    labels: Any = None,
    recipe: RecipeLike = "int8",
    preprocess: PreprocessLike = None,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
    candidates: Sequence[Candidate] | None = None,
    samples: int = 16,
    journal: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    dask: str | None = None,
    threads: int | None = None,
    trials: int = 0,
    progress: ProgressCallback | None = None,
) -> SearchResult:
    """Chooses the settings of every layer so that the compressed model stays within a budget.

    Args:
        model: as `whit.compress` takes it.
        budget: what the result may cost.
        data: calibration data, as `whit.compress` takes it.
        evaluation: samples that accuracy is measured on, as for `whit.compress`; without, those of `data`.
        labels: of those samples; without, agreement with the original (or the signal-to-noise ratio) is measured.
        recipe: what the search starts from; its steps, storage and other settings stay as they are where no candidate
            changes them, and layers that a step leaves alone stay so.
        preprocess: how pictures become arrays.
        input_shapes: sizes for inputs that the model leaves open.
        candidates: what may be done to a layer, in place of `CANDIDATES`.
        samples: how many samples layers are measured on.
        journal: file that keeps what was measured: a search that was killed goes on where it was, and one with another
            budget starts from it.
        jobs: processes that try recipes (joblib).
        dask: address of a Dask scheduler whose workers try recipes, in place of `jobs`.
        threads: of measured inferences, as for `whit.load`.
        trials: this many more recipes are tried, as Optuna proposes them. Needs `pip install 'whit[search]'`.
        progress: called with (label, done, total) instead of drawing a progress bar on the terminal.

    Returns:
        The recipe and everything that was tried. The same arguments give the same result, whatever `jobs`, `dask` and
        `journal` are, unless times are measured on this machine.

    Raises:
        BudgetError: the budget cannot be met; the text says what can.
        CalibrationError: no data, or unusable data.
        RecipeError: a recipe or candidate that does not exist or does not fit.
        InvalidArgumentError, FileError, FormatError: arguments or files that cannot be used.
    """
    for name, value, low in (("samples", samples, 1), ("jobs", jobs, 1), ("trials", trials, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise InvalidArgumentError(f"search: {name} must be a whole number, at least {low}; got {value!r}")
    if trials:
        from whit.compression.search.tune import require_optuna

        require_optuna()
    if evaluation is None and labels is not None:
        raise InvalidArgumentError("search: labels go with evaluation data; give both")
    if evaluation is None and data is None:
        raise CalibrationError(
            "search: give evaluation data (or calibration data, which then serves for both): every choice is measured "
            "(on the command line: --eval or --data DIR|NPZ)"
        )
    base = Recipe.of(recipe)
    given = CANDIDATES if candidates is None else candidates
    allowed = usable(given, has_data=data is not None, strict=candidates is not None)
    kept = Journal(journal)
    prepared = prepare(model, base, data, preprocess=preprocess, input_shapes=input_shapes)
    source = data if evaluation is None else evaluation
    evaluated, reference = prepared.evaluation(source, labels, callback=progress)
    _check_metric(budget, reference.classes is not None)
    target = budget.target if budget.max_ms is not None else ""
    context = Context.of(prepared, evaluated, reference, few=samples, target=target, threads=threads)
    found = {
        node.output: (node, options_of(node, prepared.reference, base, allowed))
        for node in layers_of(prepared.reference)
    }
    layers = {name: pair for name, pair in found.items() if len(pair[1]) > 1}
    if not layers:
        raise RecipeError("search: no layer with f32 weights of 256 elements or more that the recipe does not skip")
    with open_workers(context, jobs, dask) as worker:
        return _Search(context, budget, base, layers, kept, worker, progress).run(trials)


def _check_metric(budget: Budget, has_classes: bool) -> None:
    if budget.max_drop is not None and not has_classes:
        raise InvalidArgumentError(
            "budget: max_drop is for class scores; this model's output is none: give min_snr, in decibel"
        )
    if budget.min_snr is not None and has_classes:
        raise InvalidArgumentError("budget: this model's output is class scores: give max_drop, in points, not min_snr")


class _Search:
    def __init__(
        self,
        context: Context,
        budget: Budget,
        base: Recipe,
        layers: Mapping[str, tuple[Node, list[Candidate]]],
        journal: Journal,
        worker: Worker,
        callback: ProgressCallback | None,
    ) -> None:
        self.context, self.budget, self.base, self.layers = context, budget, base, layers
        self.journal, self.worker, self.callback = journal, worker, callback
        self.tried: dict[str, Point] = {}

    def run(self, trials: int) -> SearchResult:
        """The whole search."""
        options, start = self._options()
        candidates = [[candidate for candidate, _ in found] for found in options]

        def recipe(choices: Sequence[int]) -> Recipe:
            taken = {name: found[choice] for name, found, choice in zip(self.layers, candidates, choices, strict=True)}
            made = recipe_of(self.base, self.context.prepared.reference, taken)
            return replace(made, name=f"{self.base.name or 'own'}-auto")

        def attempt(wanted: Iterable[Sequence[int]]) -> list[Point]:
            tasks: list[Task] = [("trial", "front", recipe(choices)) for choices in wanted]
            return self.points(tasks, "search: try recipes")

        chooser = Chooser(self.budget, [[option for _, option in found] for found in options], start, attempt)
        best, choices = self._chosen(chooser, trials)
        chosen = [
            LayerChoice(
                node.name or name,
                describe(candidates[index][choices[index]]),
                tuple((describe(candidate), option) for candidate, option in options[index]),
            )
            for index, (name, (node, _)) in enumerate(self.layers.items())
        ]
        return SearchResult(recipe(choices), best, self.budget, tuple(self.tried.values()), tuple(chosen))

    def _chosen(self, chooser: Chooser, trials: int) -> tuple[Point, tuple[int, ...]]:
        """By our own solver, and by Optuna where trials are wanted: that may find what the front has not."""
        try:
            found = chooser.choose()
        except BudgetError:
            if not trials:
                raise
            found = None
        if trials:
            from whit.compression.search.tune import tune

            tune(chooser, trials, self.base.seed)
            found = chooser.best()
        return chooser.choose() if found is None else found

    def _options(self) -> tuple[list[list[tuple[Candidate, Option]]], Point]:
        """For each layer what its candidates do, against the point where every layer has its first one."""
        first = {name: candidates[0] for name, (_, candidates) in self.layers.items()}
        reference = self.context.prepared.reference
        base = for_layers(self.base, integers=bool(self.context.target))
        tasks: list[Task] = [("layer", "start", recipe_of(base, reference, first))]
        places: list[tuple[str, Candidate]] = []
        for name, (node, candidates) in self.layers.items():
            for candidate in candidates[1:]:
                places.append((name, candidate))
                changed = recipe_of(base, reference, {**first, name: candidate})
                tasks.append(("layer", f"{node.name or name}: {describe(candidate)}", changed))
        start, *points = self.points(tasks, "search: measure layers")
        if start.problem:
            raise RecipeError(f"search: the recipe to start from does not work: {start.problem}")
        found: dict[str, list[tuple[Candidate, Option]]] = {
            name: [(candidate, Option(0.0, 0.0))] for name, candidate in first.items()
        }
        for (name, candidate), point in zip(places, points, strict=True):
            if not point.problem and point.noise < float("inf"):
                ms = 0.0 if point.ms is None or start.ms is None else point.ms - start.ms
                option = Option(point.noise - start.noise, point.bytes - start.bytes, ms)
                found[name].append((candidate, option))
        return list(found.values()), start

    def points(self, tasks: Sequence[Task], label: str) -> list[Point]:
        """Points of the tasks: out of the journal, or tried and added to it."""
        keys = [self.context.key(kind, recipe) for kind, _, recipe in tasks]
        missing = {key: task for key, task in zip(keys, tasks, strict=True) if self.journal.get(key) is None}
        names = list(missing)
        work = self.worker(list(missing.values())) if missing else iter(())
        for index, point in progress(work, len(missing), label, self.callback):
            self.journal.add(names[index], point.to_dict())
        result = []
        for key, task in zip(keys, tasks, strict=True):
            point = self._timed(Point.from_dict(self.journal.get(key)), task[2])
            self.tried.setdefault(key, point)
            result.append(point)
        return result

    def _timed(self, point: Point, recipe: Recipe) -> Point:
        """With the time measured on this machine, if that is the target: once for all that compute the same."""
        if self.context.target != "this" or point.problem:
            return point
        key = self.context.time_key(point.compute)
        ms = self.journal.get(key)
        if ms is None:
            ms = measure_ms(self.context, recipe)
            self.journal.add(key, ms)
        return replace(point, ms=ms)
