"""Estimated times against counted ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from search_models import CLASSES, HIDDEN, INPUTS, model
from small_graphs import Builder

from whit.compression.targets import TARGETS, estimate_ms, macs
from whit.suite.cases import cases

RESULTS = Path(__file__).parents[4] / "bench" / "results"
COUNTED = json.loads((RESULTS / "arm.json").read_text())["rows"]
MEASURED = json.loads((RESULTS / "models.json").read_text())["rows"]


def test_macs_by_hand() -> None:
    graph = model()
    assert [macs(graph, node) for node in graph.nodes] == [INPUTS * HIDDEN, HIDDEN * HIDDEN, HIDDEN * CLASSES]
    b = Builder()
    x = b.input("x", 1, 8, 8, 16)
    y = b.conv(b.conv(x, 16, group=16), 24, 1)
    graph = b.finish(b.node("relu", [y], (1, 8, 8, 24)))
    assert [macs(graph, node) for node in graph.nodes] == [64 * 16 * 9, 64 * 16 * 24, 0]


def cycles(name: str, dtype: str, target: str) -> float:
    (case,) = [case for case in cases() if case.name == name and case.dtype == dtype]
    return estimate_ms(case.graph().graph, target) * TARGETS[target].megahertz * 1e3


@pytest.mark.parametrize("target", [name for name in TARGETS if name.startswith("cortex-")])
@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
def test_whole_networks_are_estimated_as_they_were_counted(name: str, target: str) -> None:
    (row,) = [r for r in COUNTED if (r["model"], r["cpu"], r["contender"]) == (name, target, "whit")]
    assert cycles(name, "s8", target) == pytest.approx(row["cost"], rel=0.1)


@pytest.mark.parametrize("dtype", ["s8", "f32"])
@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
def test_whole_networks_are_estimated_as_they_were_measured(name: str, dtype: str) -> None:
    """On the server of bench/results, whose caches are in what was measured."""
    wanted = (name, dtype, 1, "whit")
    best = min(
        row["median"] for row in MEASURED if (row["case"], row["dtype"], row["threads"], row["contender"]) == wanted
    )
    target = "x86-avx512vnni"
    assert cycles(name, dtype, target) / TARGETS[target].megahertz == pytest.approx(best * 1e6, rel=0.25)


@pytest.mark.parametrize("target", TARGETS)
def test_integers_are_cheaper(target: str) -> None:
    assert 1.2 < cycles("mobilenet_v2", "f32", target) / cycles("mobilenet_v2", "s8", target) < 5
