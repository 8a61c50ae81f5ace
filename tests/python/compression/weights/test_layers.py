"""Layers go where they do next to nothing, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import INF, RELU, Builder, ReferenceRunner

import reference
from whit.compression.calibrate import engine_runner
from whit.compression.weights.layers import measure_shortcuts, remove_layers
from whit.data import Dataset, open_data
from whit.errors import CalibrationError, RecipeError
from whit.ir import Graph, verify

SAMPLES = np.random.default_rng(0).normal(size=(5, 6, 6, 4)).astype(np.float32)


def shrink(b: Builder, name: str, factor: float) -> None:
    for suffix in ("w", "b"):
        tensor = b.graph.tensors[f"{name}_{suffix}"]
        assert tensor.data is not None
        tensor.data = (tensor.data * factor).astype(np.float32)


def residual_network(factors: tuple[float, ...] = (1.0, 1e-3, 1.0), clamp: bool = False) -> Graph:
    """Three residual branches of two layers, each scaled by a factor."""
    b = Builder(1)
    x = b.conv(b.input("x", 1, 6, 6, 4), 4, name="stem")
    for index, factor in enumerate(factors):
        a = b.conv(x, 8, name=f"up{index}", **RELU)
        relu = {"clamp_min": 0.0, "clamp_max": INF} if clamp else {}
        x = b.conv(a, 4, 1, name=f"down{index}", residual=x, **relu)
        shrink(b, f"down{index}", factor)
    graph = b.finish(b.conv(x, 3, 1, name="head"))
    verify(graph)
    return graph


def data_of(graph: Graph) -> Dataset:
    return open_data(SAMPLES, [graph.tensors["x"]])


def outputs(graph: Graph, runner: type = ReferenceRunner) -> np.ndarray:
    return np.concatenate([runner(graph, []).run({"x": each[None]})[graph.outputs[0]] for each in SAMPLES])


@pytest.mark.parametrize("clamp", [False, True])
def test_a_branch_that_adds_nothing_goes(clamp: bool) -> None:
    graph = residual_network(clamp=clamp)
    found = remove_layers(graph, data_of(graph), threshold=1e-3, runner=ReferenceRunner)
    assert [each.layer for each in found.removed] == ["down1"]
    verify(found.graph)
    names = [node.name for node in found.graph.nodes]
    assert "up1" not in names
    assert {"up0", "up2", "down0", "down2"} <= set(names)
    assert len(graph.nodes) == 8  # the given graph is as it was
    before, after = outputs(graph).astype(np.float64), outputs(found.graph)
    change = np.square(after - before).sum() / np.square(before).sum()
    assert 0 < change <= 1e-3
    assert found.change == pytest.approx(change, rel=1e-6)
    got = np.concatenate([engine_runner(found.graph, []).run({"x": each[None]})["head"] for each in SAMPLES])
    np.testing.assert_allclose(got, after, rtol=1e-4, atol=1e-4)


def test_changes_are_what_the_formula_says() -> None:
    graph = residual_network()
    found = {each.layer: each for each in measure_shortcuts(graph, data_of(graph), runner=ReferenceRunner)}
    values = [reference.run(graph, {"x": each[None]}, ["down0", "down1"]) for each in SAMPLES]
    noise = sum(np.square(each["down1"].astype(np.float64) - each["down0"]).sum() for each in values)
    signal = sum(np.square(each["down1"].astype(np.float64)).sum() for each in values)
    assert found["down1"].change == pytest.approx(noise / signal, rel=1e-9)
    assert found["down1"].source == "down0"
    assert set(found) == {"stem", "down0", "down1", "down2"}


def test_several_in_a_row_and_the_whole_model_is_held_to_the_threshold() -> None:
    graph = residual_network((1e-4, 1e-4, 1e-4))
    found = remove_layers(graph, data_of(graph), threshold=1e-3, runner=ReferenceRunner)
    assert sorted(each.layer for each in found.removed) == ["down0", "down1", "down2"]
    assert [node.name for node in found.graph.nodes] == ["stem", "head"]
    # each alone is within the threshold, all three are not
    graph = residual_network((0.02, 0.02, 0.02))
    changes = [each.change for each in measure_shortcuts(graph, data_of(graph), runner=ReferenceRunner)[:3]]
    threshold = max(changes) * 1.01
    found = remove_layers(graph, data_of(graph), threshold=threshold, runner=ReferenceRunner)
    assert found.change <= threshold
    before, after = outputs(graph).astype(np.float64), outputs(found.graph)
    assert np.square(after - before).sum() / np.square(before).sum() == pytest.approx(found.change, rel=1e-6)


def test_a_small_layer_that_the_model_amplifies_stays() -> None:
    b = Builder(2)
    x = b.input("x", 1, 6, 6, 4)
    shortcut = b.conv(x, 4, 1, name="tiny", residual=x)
    shrink(b, "tiny", 1e-2)
    difference = b.node("sub", [shortcut, x], (1, 6, 6, 4), "difference")  # the branch alone
    graph = b.finish(b.conv(difference, 3, 1, name="head"))
    b.graph.tensors["head_b"].data = np.zeros(3, np.float32)
    tiny = measure_shortcuts(graph, data_of(graph), runner=ReferenceRunner)[0]
    assert (tiny.layer, tiny.change < 1e-2) == ("tiny", True)
    found = remove_layers(graph, data_of(graph), threshold=1e-2, runner=ReferenceRunner)
    assert not found.removed
    assert found.graph is graph
    assert found.change == 0


def test_identities_additions_and_outputs() -> None:
    b = Builder(3)
    x = b.input("x", 1, 6, 6, 4)
    a = b.conv(x, 4, name="first", activation="hard_swish")
    unit = b.conv(a, 4, 1, name="unit", activation="hard_swish")
    zero = b.node("mul", [unit, b.constant("none", np.zeros(4))], (1, 6, 6, 4), "zero")
    total = b.node("add", [unit, zero], (1, 6, 6, 4), "total", clamp_min=-0.1, clamp_max=INF)
    last = b.node(
        "conv",
        [total, b.constant("eye", np.eye(4).reshape(4, 1, 1, 4))],
        (1, 6, 6, 4),
        "last",
        strides=[1, 1],
        dilations=[1, 1],
        pads=[0] * 4,
        group=1,
    )
    b.graph.tensors["unit_w"].data = np.eye(4, dtype=np.float32).reshape(4, 1, 1, 4)
    b.graph.tensors["unit_b"].data = np.zeros(4, np.float32)
    graph = b.finish(last)
    found = remove_layers(graph, data_of(graph), threshold=1e-12, runner=ReferenceRunner)
    assert {each.layer for each in found.removed} == {"unit", "total", "last"}
    assert {node.op for node in found.graph.nodes} == {"conv", "hard_swish", "clip"}
    assert found.graph.outputs == ["last"]
    np.testing.assert_allclose(outputs(found.graph), outputs(graph), rtol=1e-6, atol=1e-6)


def test_bad_input() -> None:
    graph = residual_network()
    with pytest.raises(RecipeError, match="threshold"):
        remove_layers(graph, data_of(graph), threshold=-1.0, runner=ReferenceRunner)
    graph.tensors["stem_b"].data = np.full(4, np.nan, np.float32)
    with pytest.raises(CalibrationError, match="layer 'stem'"):
        remove_layers(graph, data_of(graph), runner=ReferenceRunner)
