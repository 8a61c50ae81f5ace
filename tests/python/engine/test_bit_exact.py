"""A fully quantised model gives the same bytes on every ISA level and for every number of threads."""

from __future__ import annotations

import importlib.resources

import numpy as np
import onnx
import pytest

import whit
from whit import _core
from whit.format import write
from whit.suite.builder import GraphBuilder

LEVELS = _core.cpu()["active"]


def digits(part):
    with importlib.resources.as_file(importlib.resources.files("whit") / "demo" / "digits.npz") as path:
        return np.load(path)[part].astype(np.float32)


@pytest.fixture(scope="module")
def digits_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    source = (importlib.resources.files("whit") / "demo" / "digits.onnx").read_bytes()
    for recipe in ("int8", "f32"):
        data = {"image": digits("calibration_images")} if recipe == "int8" else None
        whit.compress(source, folder / f"{recipe}.whit", recipe, data)
    return folder


def results_per_level(path, feeds, monkeypatch):
    """{(level, threads): outputs and every tensor in between}"""
    results = {}
    for level in LEVELS:
        monkeypatch.setenv("WHIT_ISA", level)
        for threads in (1, 2, 3):
            model = whit.load(path, threads=threads)
            assert model.isa == level
            constants = {item["name"] for item in model.tensors() if item["constant"]}
            produced = [name for node in model.nodes() for name in node["outputs"] if name and name not in constants]
            session = model.session(observe=produced)
            results[level, threads] = session.run(feeds)
    return results


def test_int8_digits(digits_files, monkeypatch):
    feeds = {"image": digits("test_images")[:33]}
    results = results_per_level(digits_files / "int8.whit", feeds, monkeypatch)
    first = results["scalar", 1]
    assert any(value.dtype == np.int8 for value in first.values())
    for key, values in results.items():
        for name, value in values.items():
            assert value.tobytes() == first[name].tobytes(), f"{name} differs on {key}"


def test_f32_is_the_same_for_every_thread_count(digits_files, monkeypatch):
    feeds = {"image": digits("test_images")[:33]}
    results = results_per_level(digits_files / "f32.whit", feeds, monkeypatch)
    for (level, threads), values in results.items():
        for name, value in values.items():
            assert value.tobytes() == results[level, 1][name].tobytes(), f"{name} differs on {level}, {threads} threads"


def test_f32_across_isas_within_bound(digits_files, monkeypatch):
    """Levels differ by the rounding of fused multiply-add alone: eps * (k + 1) relative, 11 layers, k <= 432."""
    feeds = {"image": digits("test_images")[:33]}
    results = results_per_level(digits_files / "f32.whit", feeds, monkeypatch)
    for values in results.values():
        wanted = results["scalar", 1]["logits"]
        bound = 11 * 433 * np.finfo(np.float32).eps * max(1.0, float(np.abs(wanted).max()))
        assert np.abs(values["logits"] - wanted).max() <= bound


def wide_network():
    """Layers large enough that their rows, or for one row their columns, are split over threads."""
    rng = np.random.default_rng(8)

    def weight(name, *shape):
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        return onnx.numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name)

    def conv(x, w, y, kernel, **attributes):
        pads = [kernel // 2] * 4
        return onnx.helper.make_node("Conv", [x, w], [y], kernel_shape=[kernel] * 2, pads=pads, **attributes)

    nodes = [
        conv("x", "w0", "c0", 3, strides=[2, 2]),
        onnx.helper.make_node("Relu", ["c0"], ["r0"]),
        conv("r0", "w1", "c1", 5, group=48),
        conv("c1", "w2", "c2", 1),
        conv("c2", "w3", "c3", 3),
        onnx.helper.make_node("Add", ["c3", "c2"], ["a3"]),
        onnx.helper.make_node("GlobalAveragePool", ["a3"], ["p"]),
        onnx.helper.make_node("Flatten", ["p"], ["f"]),
        onnx.helper.make_node("Gemm", ["f", "w4"], ["g"], transB=1),
        onnx.helper.make_node("Gemm", ["g", "w5"], ["y"], transB=1),
    ]
    weights = [
        weight("w0", 48, 3, 3, 3),
        weight("w1", 48, 1, 5, 5),
        weight("w2", 64, 48, 1, 1),
        weight("w3", 64, 64, 3, 3),
        weight("w4", 1024, 64),
        weight("w5", 1000, 1024),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "wide", [value("x", 1, [1, 3, 65, 65])], [value("y", 1, [1, 1000])], weights)
    opset = onnx.helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)


@pytest.mark.parametrize("recipe", ["int8", "f32"])
def test_large_layers(recipe, tmp_path, monkeypatch):
    samples = np.random.default_rng(9).standard_normal((3, 3, 65, 65)).astype(np.float32)
    whit.compress(wide_network(), tmp_path / "wide.whit", recipe, {"x": samples} if recipe == "int8" else None)
    results = results_per_level(tmp_path / "wide.whit", {"x": samples[:1]}, monkeypatch)
    for (level, threads), values in results.items():
        first = results["scalar" if recipe == "int8" else level, 1]
        for name, value in values.items():
            assert value.tobytes() == first[name].tobytes(), f"{name} differs on {level}, {threads} threads"


@pytest.mark.parametrize("name", ["efficientnet_lite0", "ppocr_cls"])
def test_int8_of_real_models(name, shared, tmp_path, monkeypatch):
    monkeypatch.delenv("WHIT_ISA", raising=False)
    proto = onnx.load(shared / "models" / f"{name}.onnx")
    info = proto.graph.input[0]
    shape = [d.dim_value for d in info.type.tensor_type.shape.dim]
    rng = np.random.default_rng(5)
    samples = rng.standard_normal((4, *shape[1:])).astype(np.float32)
    whit.compress(proto, tmp_path / "m.whit", "int8", {info.name: samples})
    results = {}
    for level in LEVELS:
        monkeypatch.setenv("WHIT_ISA", level)
        for threads in (1, 2):
            with whit.load(tmp_path / "m.whit", threads=threads) as model:
                results[level, threads] = model.run({info.name: samples[:1]})
    first = results["scalar", 1]
    for key, values in results.items():
        for tensor, value in values.items():
            assert value.tobytes() == first[tensor].tobytes(), f"{tensor} differs on {key}"


def block(dtype):
    """An inverted residual block."""
    builder = GraphBuilder("block", dtype)
    x = builder.input(32, 112, 112)
    expanded = builder.conv(x, 144, 1, activation="relu6")
    depthwise = builder.conv(expanded, 144, 3, groups=144, activation="relu6")
    builder.output(builder.conv(depthwise, 32, 1))
    return builder.graph


def stem(dtype):
    """A first layer and what follows it."""
    builder = GraphBuilder("stem", dtype)
    x = builder.conv(builder.input(3, 320, 320), 48, 3, 2, activation="relu6")
    builder.output(builder.conv(builder.conv(x, 48, 3, groups=48, activation="relu6"), 16, 1))
    return builder.graph


@pytest.mark.parametrize("network", [block, stem])
@pytest.mark.parametrize("dtype", ["s8", "f32"])
def test_bands_give_the_bytes_of_whole_tensors(network, dtype, monkeypatch):
    """Tensors that are too large for L2, run at once, and observed, which keeps them whole."""
    data = write(network(dtype))
    numbers = np.random.default_rng(4)
    for level in LEVELS:
        monkeypatch.setenv("WHIT_ISA", level)
        model = whit.load(data, threads=1)
        (info,) = model.inputs
        feeds = {info.name: numbers.standard_normal(info.shape).astype(np.float32)}
        (wanted,) = model.run(feeds).values()
        # Before it, the image becomes channels-last and in s8 is quantised.
        assert [node["kernel"].startswith("bands:") for node in model.kernels()] == [False, True]
        inside = [node["outputs"][0] for node in model.nodes()[:-1]]
        whole = model.session(observe=inside)
        assert whole.run(feeds)[model.outputs[0].name].tobytes() == wanted.tobytes()
        assert len(whole.kernels()) == 4
        for threads in (2, 3):
            (value,) = whit.load(data, threads=threads).run(feeds).values()
            assert value.tobytes() == wanted.tobytes()
