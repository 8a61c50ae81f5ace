"""A fully quantised model gives the same bytes on every ISA level and for every number of threads."""

from __future__ import annotations

import importlib.resources

import numpy as np
import pytest

import whit
from whit import _core

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
    """Levels differ by the rounding of fused multiply-add alone: per layer eps * (k + 1) relative, 11 layers, k <= 432."""
    feeds = {"image": digits("test_images")[:33]}
    results = results_per_level(digits_files / "f32.whit", feeds, monkeypatch)
    for values in results.values():
        wanted = results["scalar", 1]["logits"]
        bound = 11 * 433 * np.finfo(np.float32).eps * max(1.0, float(np.abs(wanted).max()))
        assert np.abs(values["logits"] - wanted).max() <= bound


@pytest.mark.parametrize("name", ["efficientnet_lite0", "ppocr_cls"])
def test_int8_of_real_models(name, shared, tmp_path, monkeypatch):
    monkeypatch.delenv("WHIT_ISA", raising=False)
    import onnx

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
