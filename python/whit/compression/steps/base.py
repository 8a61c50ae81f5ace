"""What every step of a recipe has: the layers it is for, and how it is applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from whit.compression.calibrate import RunnerFactory, engine_runner
from whit.compression.settings import Settings, check_keys, did_you_mean, patterns
from whit.errors import RecipeError
from whit.ir import Graph, Node

if TYPE_CHECKING:
    from whit.compression.aim import Aim
    from whit.data import Dataset
    from whit.progress import ProgressCallback

__all__ = ["State", "Step"]

T = TypeVar("T", bound="Step")

#: Layers that an error names.
_MOST_LISTED = 12


@dataclass
class State:
    """What steps work on, one after another.

    Attributes:
        graph: the model as the steps before left it; a step changes or replaces it.
        reference: the optimised f32 model that compression began with; never changed.
        data: calibration data, or None.
        runner: runs graphs on them.
        callback: is told of progress; None draws bars on a terminal.
        seed: of everything random.
        aim: what the file is made for; None: nothing in particular.
        checkpoint: file that steps that train save to, and go on from; None: nothing is saved.
        trainings: steps that have trained so far.
        ranges: tensor -> low and high that training rounded it between.
        factors: tensor -> what its channels were multiplied by, f64 [C] (equalisation).
        reasons: node -> why a step left it alone.
        notes: what the user should know.
    """

    graph: Graph
    reference: Graph
    data: Dataset | None = None
    runner: RunnerFactory = engine_runner
    callback: ProgressCallback | None = None
    seed: int = 0
    checkpoint: Path | None = None
    aim: Aim | None = None
    trainings: int = 0
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    factors: dict[str, np.ndarray] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def next_checkpoint(self) -> Path | None:
        """The file of the next step that trains: `checkpoint`, after that the same with .2, .3, ... behind it."""
        self.trainings += 1
        if self.checkpoint is None or self.trainings == 1:
            return self.checkpoint
        return self.checkpoint.with_name(f"{self.checkpoint.name}.{self.trainings}")


def _overrides(where: str, value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, Mapping) or not all(isinstance(inner, Mapping) for inner in value.values()):
        raise RecipeError(f"{where} must be a table of patterns, each with a table of keys; got {value!r}")
    return {str(pattern): dict(inner) for pattern, inner in value.items()}


@dataclass(frozen=True)
class Step(Settings):
    """One technique with its settings.

    Attributes:
        layers: patterns of node names, or of their output tensors, that the step is for; "@conv", "@gemm", ... stand
            for all of an operator, "@grouped" for depthwise and other grouped convolutions, "@1x1" for convolutions
            of one tap without groups.
        skip: the same for those that it leaves alone.
        overrides: pattern -> settings that differ for the layers it matches; of several that match, later ones win.
    """

    layers: tuple[str, ...] = patterns("*")
    skip: tuple[str, ...] = patterns()
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict, metadata={"check": _overrides})

    kind: ClassVar[str]
    trains: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check()
        for pattern, values in self.overrides.items():
            where = f"{self.where()}.overrides.{pattern!r}"
            for key in ("layers", "skip", "overrides"):
                if key in values:
                    raise RecipeError(f"{where}: {key!r} belongs to the step, not to an override")
            check_keys(type(self), values, where)
            self._overridden([values], where)

    @classmethod
    def where(cls) -> str:
        return cls.kind

    def check(self) -> None:
        """Raises RecipeError where settings contradict each other."""

    @property
    def needs_data(self) -> bool:
        """Whether the step asks for calibration data."""
        return False

    def apply(self, state: State) -> None:
        """Does it.

        Raises:
            RecipeError: the step does not fit the model.
            CalibrationError: unusable data.
        """
        raise NotImplementedError

    def for_node(self: T, node: Node, graph: Graph) -> T | None:
        """The settings for one layer of a graph; None if the step leaves it alone."""
        names = _names(node, graph)
        if not _matches(self.layers, names) or _matches(self.skip, names):
            return None
        found = [values for pattern, values in self.overrides.items() if _matches([pattern], names)]
        return self._overridden(found, self.where()) if found else self

    def names(self, graph: Graph) -> set[str]:
        """The names of the operators that the step is for."""
        return {node.name for node in graph.nodes if self.for_node(node, graph) is not None}

    def variants(self: T) -> Iterator[T]:
        """The settings as they are, and as each override makes them."""
        yield self
        for values in self.overrides.values():
            yield self._overridden([values], self.where())

    def check_model(self, graph: Graph) -> None:
        """Raises RecipeError if the step does not fit the imported model: before any long work.

        A pattern that no layer matches does not.
        """
        for pattern in (*self.layers, *self.skip, *self.overrides):
            if pattern.startswith("@"):
                _check_kind(self.where(), pattern)
            elif not any(_matches([pattern], _names(node, graph)) for node in graph.nodes):
                known = [node.name for node in graph.nodes]
                more = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else ""
                raise RecipeError(
                    f"{self.where()}: no layer matches {pattern!r}{did_you_mean(pattern, known)}; layers: "
                    f"{', '.join(known[:_MOST_LISTED])}{more} (all of them: whit compress with recipe f32)"
                )

    def _overridden(self: T, overrides: Iterable[Mapping[str, Any]], where: str) -> T:
        values: dict[str, Any] = {}
        for each in overrides:
            values.update(each)
        return self.changed({**values, "overrides": {}}, where)


def _names(node: Node, graph: Graph) -> list[str]:
    """What patterns are compared with."""
    kinds = [f"@{node.op}"]
    if node.attributes.get("group", 1) != 1:
        kinds.append("@grouped")
    elif node.op == "conv" and set((graph.tensors[node.inputs[1]].shape or (0,))[1:-1]) == {1}:
        kinds.append("@1x1")
    return [node.name, *node.outputs, *kinds]


def _check_kind(where: str, pattern: str) -> None:
    """A model may do without the operators that "@" stands for, but they must exist."""
    from whit.format.schema import operators

    known = ["@grouped", "@1x1", *(f"@{name}" for name in operators())]
    if not any(_matches([pattern], [name]) for name in known):
        raise RecipeError(f"{where}: {pattern!r} stands for no operator{did_you_mean(pattern, known)}")


def _matches(wanted: Iterable[str], names: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in wanted for name in names if name)
