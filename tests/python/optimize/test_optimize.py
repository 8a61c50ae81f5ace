"""The pipeline as a whole: its order, its promises, and real models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builder import Builder, operators

import reference
from whit.errors import WhitError
from whit.ir import Graph, Node, Tensor
from whit.optimize import PIPELINE, Pass, optimize, run_passes

#: How many transposes each model may keep: at its inputs and outputs, and before a flatten.
TRANSPOSES = {
    "ccexam_mnist": 1,
    "efficientnet_lite0": 1,
    "mobilenet_v2": 1,
    "ppocr_cls": 1,
    "ppocrv4_det": 1,
    "resnet20_cifar10": 1,
    "resnet20_cifar10_raw": 1,
    "silero_vad_openvino_16k": 0,
}


@pytest.mark.parametrize("stage", PIPELINE)
def test_every_pass_finds_what_it_requires(stage: tuple[Pass, ...]) -> None:
    ensured: set[str] = set()
    for each in stage:
        assert set(each.requires) <= ensured, each.name
        ensured.update(each.ensures)
    names = [each.name for each in stage]
    assert len(set(names)) == len(names)
    assert [type(each).__module__.rsplit(".", 1)[1] for each in stage] == names


def small_network() -> tuple[Builder, Graph]:
    b = Builder()
    x = b.conv_first(b.input("x", 1, 3, 8, 8), 4, 3)
    x = b.node("add", b.node("mul", x, b.random_constant(4, 1, 1)), b.random_constant(4, 1, 1))
    y = b.conv_first(b.clip(x, 0, 6), 4, 1)
    y = b.node("div", b.node("mul", y, b.clip(b.node("add", y, b.constant(3.0)), 0, 6)), b.constant(6.0))
    y = b.node("pad", y, mode="constant", pads=[0, 0, 1, 1] * 2, value=0.0)
    y = b.to_first(b.conv(b.to_last(y), 4, 3, pads=[0] * 4))
    y = b.clip(b.node("add", y, x), 0, 6)
    return b, b.finish(b.node("reduce_mean", y, axes=[2, 3], keepdims=0), x)


def test_passes_work_together() -> None:
    b, graph = small_network()
    before = reference.run(graph, b.feeds)
    after = optimize(graph)
    assert operators(after) == {"conv": 3, "transpose": 2, "clip": 1, "reduce_mean": 1}
    for name, wanted in reference.run(after, b.feeds).items():
        assert np.allclose(wanted, before[name], rtol=0, atol=1e-5 * np.abs(before[name]).max())


def test_the_argument_stays_as_it_was() -> None:
    _, graph = small_network()
    said = repr(graph)
    optimize(graph)
    assert repr(graph) == said


def test_optimizing_twice_changes_nothing() -> None:
    _, graph = small_network()
    once = optimize(graph)
    assert repr(optimize(once)) == repr(once)


def test_a_pass_that_breaks_the_graph_is_named() -> None:
    class Vandalize(Pass):
        name = "vandalize"

        def run(self, graph: Graph) -> bool:
            graph.nodes[0].inputs[0] = "nowhere"
            return True

    _, graph = small_network()
    with pytest.raises(WhitError, match=r"pass vandalize left an invalid graph.*'nowhere'"):
        run_passes(graph, (Vandalize(),))


def test_passes_that_do_not_settle_are_named() -> None:
    class Dither(Pass):
        name = "dither"

        def run(self, graph: Graph) -> bool:
            return True

    with pytest.raises(WhitError, match="dither do not settle"):
        run_passes(Graph("g", [], {"x": Tensor("x")}, ["x"], ["x"]), (Dither(),))


def test_empty_graph() -> None:
    graph = Graph(
        "g", [Node("neg", "n", ["x"], ["y"])], {"x": Tensor("x", "f32", (1,)), "y": Tensor("y")}, ["x"], ["x"]
    )
    after = optimize(graph)
    assert not after.nodes
    assert after.inputs == ["x"]


@pytest.mark.parametrize("model", TRANSPOSES)
def test_real_models(model: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importers = pytest.importorskip("whit.importers.onnx")
    monkeypatch.setenv("WHIT_DEBUG", "1")
    graph = importers.import_onnx(shared / "models" / f"{model}.onnx")
    after = optimize(graph)
    found = operators(after)
    assert found["transpose"] == TRANSPOSES[model]
    for op in ("pad", "clip", "add"):
        assert found[op] <= operators(graph)[op]
    random = np.random.default_rng(0)
    feeds = {}
    for name in graph.inputs:
        shape = graph.tensors[name].shape
        assert shape is not None
        feeds[name] = random.standard_normal([size if isinstance(size, int) else 2 for size in shape]).astype(
            np.float32
        )
    results = reference.run(after, feeds)
    for name, wanted in reference.run(graph, feeds).items():
        assert np.abs(results[name] - wanted).max() <= 1e-5 * max(1, np.abs(wanted).max())
