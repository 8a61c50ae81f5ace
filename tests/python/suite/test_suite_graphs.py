"""The suite's networks: their arithmetic, and that their s8 form is the one that `compress` writes."""

from __future__ import annotations

import numpy as np
import pytest

import reference
import whit
from whit.compression.pipeline import run_pipeline
from whit.compression.recipe import Recipe
from whit.format import write
from whit.ir import verify
from whit.optimize import optimize
from whit.suite.builder import GraphBuilder
from whit.suite.cases import Case, cases
from whit.suite.topologies import TOPOLOGIES


class CountingBuilder:
    """Shapes and multiplications, without any weights."""

    def __init__(self):
        self.macs = self.weights = 0
        self.result = None

    def input(self, channels, height, width):
        return channels, height, width

    def conv(self, x, channels, kernel, stride=1, groups=1, activation=None):
        assert activation in (None, "relu", "relu6")
        inner, *sides = x
        assert inner % groups == channels % groups == 0
        height, width = ((side + 2 * (kernel // 2) - kernel) // stride + 1 for side in sides)
        filters = channels * kernel * kernel * (inner // groups)
        self.macs += filters * height * width
        self.weights += filters + channels
        return channels, height, width

    def add(self, a, b, activation=None):
        assert a == b
        return a

    def max_pool(self, x, kernel, stride):
        return x[0], *((side + 2 * (kernel // 2) - kernel) // stride + 1 for side in x[1:])

    def mean(self, x):
        return x[:1]

    def linear(self, x, features):
        self.macs += x[0] * features
        self.weights += x[0] * features + features
        return (features,)

    def output(self, x):
        self.result = x


@pytest.mark.parametrize(
    ("name", "millions", "weights"),
    # Published: Howard et al. 569 M, Sandler et al. 300 M, He et al. 1.8 G; torchvision 4.09 G for this ResNet-50.
    [("mobilenet_v1", 569, 4.2), ("mobilenet_v2", 301, 3.5), ("resnet18", 1814, 11.7), ("resnet50", 4089, 25.5)],
)
def test_topologies_have_the_published_arithmetic(name, millions, weights):
    counting = CountingBuilder()
    TOPOLOGIES[name](counting)
    assert round(counting.macs / 1e6) == millions
    assert counting.weights / 1e6 == pytest.approx(weights, abs=0.06)
    assert counting.result == (1000,)
    (case,) = (case for case in cases() if case.name == name and case.dtype == "s8")
    assert case.weights == pytest.approx(counting.weights, rel=0.01)


def _small(build) -> None:
    """Every form that the topologies use: depthwise, linear bottleneck, residuals of both kinds, pooling."""
    x = build.conv(build.input(3, 32, 32), 16, 3, 2, activation="relu6")
    y = build.conv(build.conv(x, 32, 1, activation="relu6"), 32, 3, groups=32, activation="relu6")
    x = build.add(x, build.conv(y, 16, 1))
    x = build.max_pool(build.conv(x, 16, 7, 1, activation="relu"), 3, 2)
    y = build.conv(build.conv(x, 16, 3, activation="relu"), 16, 3)
    x = build.add(y, x, activation="relu")
    y = build.conv(build.conv(x, 24, 3, 2, activation="relu"), 24, 3)
    x = build.add(y, build.conv(x, 24, 1, 2), activation="relu")
    build.output(build.linear(build.mean(x), 10))


class PlainBuilder(GraphBuilder):
    """As an importer leaves it: nothing fused."""

    def add(self, a, b, activation=None):
        clamp = {None: {}, "relu": {"clamp_min": 0.0, "clamp_max": float("inf")}}[activation]
        return self._node("add", [a, b], self.shape(a), None, **clamp)


def _form(graph):
    """Everything about a graph but names, weights and values of scales."""
    index = {name: f"input {i}" for i, name in enumerate(graph.inputs)}
    form = []
    for node in graph.nodes:
        inputs = []
        for name in node.inputs:
            tensor = graph.tensors[name] if name else None
            quantization = tensor.quantization if tensor else None
            form_of = (tensor.dtype, tensor.shape, quantization and (quantization.axis, len(quantization.scale)))
            inputs.append((index[name] if tensor.data is None else "constant", *form_of))
        tensor = graph.tensors[node.outputs[0]]
        index[node.outputs[0]] = f"{len(form)}"
        attributes = sorted((name, str(value)) for name, value in node.attributes.items())
        form.append((node.op, inputs, tensor.dtype, tensor.shape, attributes))
    return form


def test_f32_form_is_that_of_the_optimizer():
    plain, fused = PlainBuilder("small", "f32"), GraphBuilder("small", "f32")
    _small(plain)
    _small(fused)
    verify(fused.graph)
    assert _form(fused.graph) == _form(optimize(plain.graph))


def test_s8_form_is_that_of_compress():
    plain, fused = PlainBuilder("small", "f32"), GraphBuilder("small", "s8")
    _small(plain)
    _small(fused)
    images = np.random.default_rng(1).standard_normal((3, 3, 32, 32), dtype=np.float32)
    report = run_pipeline(plain.graph, None, Recipe.of("int8"), {plain.graph.inputs[0]: images})
    wanted, got = whit.load(report.file), whit.load(write(fused.graph))
    assert [node["kernel"] for node in got.kernels()] == [node["kernel"] for node in wanted.kernels()]
    assert _form_of_model(got) == _form_of_model(wanted)


def _form_of_model(model):
    tensors = {tensor["name"]: tensor for tensor in model.tensors()}

    def described(name):
        if not name:
            return None
        tensor = tensors[name]
        quantization = tensor["quantization"]
        scales = quantization and (quantization["axis"], len(quantization["scale"]))
        return tensor["dtype"], tensor["shape"], tensor["constant"], scales

    return [
        (
            node["op"],
            [described(name) for name in node["inputs"]],
            [described(name) for name in node["outputs"]],
            sorted((name, str(value)) for name, value in node["attributes"].items()),
        )
        for node in model.nodes()
    ]


@pytest.mark.parametrize("dtype", ["f32", "s8"])
def test_engine_and_reference_agree_and_values_spread(dtype):
    builder = GraphBuilder("small", dtype)
    _small(builder)
    image = np.random.default_rng(2).standard_normal((1, 3, 32, 32), dtype=np.float32)
    (wanted,) = reference.run(builder.graph, {builder.graph.inputs[0]: image}).values()
    (got,) = whit.load(write(builder.graph)).run({builder.graph.inputs[0]: image}).values()
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-3)
    assert np.isfinite(got).all()
    assert len(np.unique(got.round(4))) == 10  # neither zero nor saturated all over


@pytest.mark.parametrize(
    "case", [case for case in cases() if case.weights < 200_000], ids=lambda c: f"{c.name}-{c.dtype}"
)
def test_layers_are_valid_and_load(case: Case):
    builder = case.graph()
    verify(builder.graph)
    model = whit.load(write(builder.graph), threads=1)
    stored = sum(t["bytes"] for t in model.tensors() if t["constant"] and t["dtype"] in ("f32", "s8"))
    assert case.weights * (4 if case.dtype == "f32" else 1) <= stored + 1
    assert [node["op"] for node in model.nodes() if node["op"] not in ("quantize_linear", "transpose")] != []
    assert model.inputs[0].dtype == case.dtype


def test_case_names_are_unique_and_quick_is_a_part():
    names = [(case.name, case.dtype) for case in cases()]
    assert len(set(names)) == len(names)
    quick = [(case.name, case.dtype) for case in cases(quick=True)]
    assert set(quick) < set(names)
    assert {case.group for case in cases(quick=True)} == {case.group for case in cases()}
