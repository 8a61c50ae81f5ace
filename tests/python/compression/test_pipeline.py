"""The pipeline from ONNX to a file. Graphs run in the numpy reference here; test_engine.py runs them in the engine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_graphs import ReferenceRunner, small_network
from small_onnx import images, small_classifier

from whit import _core
from whit.compression.pipeline import compress, run_pipeline
from whit.compression.recipe import PRESETS, Recipe
from whit.compression.result import Report
from whit.errors import CalibrationError, FileError, FormatError, InvalidArgumentError, RecipeError, WhitError
from whit.preprocess import Preprocess


def run(model: Any, out: Any = None, recipe: Any = "int8", data: Any = None, **options: Any) -> Report:
    return run_pipeline(model, out, Recipe.of(recipe), data, runner=ReferenceRunner, **options)


def metadata(file: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_core.Model(file).metadata)
    return found


def test_int8_from_a_path_to_a_path(tmp_path) -> None:
    source, out = tmp_path / "model.onnx", tmp_path / "model.whit"
    onnx.save(small_classifier(), source)
    report = run(source, out, data=images())
    assert report.file is None
    assert report.path == str(out)
    assert report.file_bytes == out.stat().st_size
    assert report.source_bytes == source.stat().st_size
    assert report.calibration_samples == 12
    assert report.weight_bytes_after < 0.4 * report.weight_bytes_before
    stored = metadata(out.read_bytes())
    assert stored["source"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert stored["producer"].startswith("whit ")
    assert Recipe.of(stored["recipe"]) == PRESETS["int8"]
    assert stored["report"]["calibration_samples"] == 12
    assert "preprocess" not in stored
    products = [layer for layer in report.layers if layer.op in ("conv", "gemm")]
    assert len(products) == 5
    for layer in products:
        assert layer.dtype == "s8"
        assert 0 < layer.bytes_after < layer.bytes_before
        assert layer.snr_db is not None
        assert layer.snr_db > 25


def test_same_file_again(tmp_path) -> None:
    model = small_classifier()
    first, second = (run(model, data=images()).file for _ in range(2))
    assert first is not None
    assert first == second


def test_every_kind_of_model(tmp_path) -> None:
    model = small_classifier()
    onnx.save(model, tmp_path / "model.onnx")
    for source in (model, model.SerializeToString(), str(tmp_path / "model.onnx")):
        assert run(source, recipe="f32").source_bytes == len(model.SerializeToString())
    report = run(small_network(), recipe="f32")
    assert report.source_bytes is None
    assert report.file is not None
    assert "source" not in metadata(report.file)


def test_f32_loses_nothing() -> None:
    report = run(small_classifier(), recipe="f32", data=images(3))
    assert {layer.snr_db for layer in report.layers} == {200.0}
    assert report.weight_bytes_after == report.weight_bytes_before
    assert report.calibration_samples == 0


def test_int8_weights_need_no_data() -> None:
    report = run(small_classifier(), recipe=PRESETS["int8-weights"].with_settings(["quantize.min_weight_elements=64"]))
    kinds = {layer.name: layer.dtype for layer in report.layers if layer.op in ("conv", "gemm")}
    assert set(kinds.values()) == {"f32 (s8 weights)"}
    assert report.weight_bytes_after < 0.5 * report.weight_bytes_before
    small = run(small_classifier(), recipe="int8-weights")
    notes = {layer.name: layer.note for layer in small.layers if layer.note}
    assert any("fewer than 256" in note for note in notes.values())


def test_dynamic_layers_multiply_integers_without_data() -> None:
    """Fully connected layers round what they read while the model runs; the others stay as with f32 activations."""
    settings = ["quantize.activations=dynamic", "quantize.min_weight_elements=0"]
    recipe = PRESETS["int8-weights"].with_settings(settings)
    assert not recipe.needs_data
    report = run(small_classifier(), recipe=recipe, data=images(3))
    kinds = {(layer.op, layer.dtype) for layer in report.layers if layer.op in ("conv", "gemm")}
    assert kinds == {("conv", "f32 (s8 weights)"), ("gemm", "s8 (dynamic)")}
    assert all(layer.snr_db is not None and layer.snr_db > 30 for layer in report.layers if layer.op == "gemm")
    with pytest.raises(RecipeError, match="at most 4 bits in groups of 32"):
        PRESETS["int8-weights"].with_settings([*settings, "quantize.granularity=group"])


def test_dynamic_layers_with_groups_of_4_bits() -> None:
    settings = ["bits=4", "range=mse", "activations=dynamic", "granularity=group", "min_weight_elements=0"]
    recipe = PRESETS["int8-weights"].with_settings([f"quantize.{setting}" for setting in settings])
    assert not recipe.needs_data
    report = run(small_classifier(), recipe=recipe, data=images(3))
    kinds = {(layer.op, layer.dtype) for layer in report.layers if layer.op in ("conv", "gemm")}
    assert kinds == {("conv", "f32"), ("gemm", "s8 (dynamic)")}
    assert report.file is not None
    model = _core.Model(report.file)
    assert model.version == (1, 5)
    assert sum((tensor["quantization"] or {}).get("group", 0) == 32 for tensor in model.tensors()) == 1


def test_preprocess_is_stored() -> None:
    steps = Preprocess(resize=20, crop=16, scale=1 / 255)
    photos = np.random.default_rng(0).integers(0, 256, (5, 30, 24, 3), np.uint8)
    report = run(small_classifier(), data=list(photos), preprocess=steps)
    assert report.file is not None
    stored = metadata(report.file)["preprocess"]
    assert {name: Preprocess.from_dict(value) for name, value in stored.items()} == {"image": steps}
    report = run(small_classifier(), recipe="f32", preprocess="imagenet")
    assert report.file is not None
    assert metadata(report.file)["preprocess"]["image"]["crop"] == 224


def test_open_sizes_and_input_shapes() -> None:
    model = small_classifier("N", "S")
    report = run(model, data=[images(1, 16)[0], images(1, 24)[0]])
    assert report.file is not None
    assert _core.Model(report.file).inputs()[0]["shape"] == ("N", 3, "S", "S")
    report = run(model, data=images(2, 24), input_shapes={"image": [1, 3, 24, 24]})
    assert report.file is not None
    assert _core.Model(report.file).inputs()[0]["shape"] == (1, 3, 24, 24)
    with pytest.raises(CalibrationError, match="wanted shape"):
        run(model, data=images(2, 16), input_shapes={"image": [1, 3, 24, 24]})


def test_progress_callback() -> None:
    steps: list[tuple[str, int, int | None]] = []
    run(small_classifier(), data=images(4), callback=lambda *step: steps.append(step))
    labels = list(dict.fromkeys(label for label, _, _ in steps))
    assert labels == ["calibrate: ranges", "calibrate: histograms", "measure error"]
    assert ("calibrate: ranges", 4, 4) in steps


def test_report_for_people_and_programs() -> None:
    report = run(small_classifier(), data=images(), recipe=PRESETS["int8"].with_settings(['quantize.skip=["head*"]']))
    values = json.loads(json.dumps(report.to_dict()))
    assert set(values) == {
        *("recipe", "layers", "source_bytes", "file_bytes", "weight_bytes_before", "weight_bytes_after"),
        *("calibration_samples", "notes", "path", "accuracy", "ms_before", "ms_after"),
    }
    assert set(values["layers"][0]) == {
        *("name", "op", "dtype", "bytes_before", "bytes_after", "snr_db", "note", "stored_bytes", "bits_per_weight"),
        *("sparsity", "entropy", "ms_before", "ms_after"),
    }
    text = str(report)
    for layer in report.layers:
        assert layer.name in text
    assert "left alone by the recipe" in text
    assert "12 calibration samples" in text
    worst = report.worst(3)
    assert [layer.snr_db for layer in worst] == sorted(layer.snr_db or 0 for layer in report.layers if layer.snr_db)[:3]
    assert any("left alone by the recipe" in note for note in report.notes)


def test_models_without_anything_to_quantise() -> None:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Softmax", ["x"], ["y"], axis=-1)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    report = run(model, data=np.ones((2, 4), np.float32))
    assert "no layer computes in s8" in report.notes[0]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"data": None}, CalibrationError, "needs calibration data: give data=.*--data"),
        ({"data": []}, CalibrationError, "empty"),
        ({"data": np.zeros((0, 3, 16, 16), np.float32)}, CalibrationError, "empty"),
        ({"data": np.full((2, 3, 16, 16), np.nan, np.float32)}, CalibrationError, "sample 0, input 'image': nan"),
        ({"data": np.zeros((2, 3, 16, 16))}, CalibrationError, "wanted f32, got float64"),
        ({"data": {"picture": images(1)}}, CalibrationError, "'image' is missing; expected image; got picture"),
        ({"data": images(1), "recipe": "int9"}, RecipeError, "recipes: f32, int8, int8-weights"),
        ({"data": images(1), "preprocess": {"x": "tf"}}, InvalidArgumentError, "no input 'x'"),
        ({"data": images(1), "model": b"no model"}, FormatError, "ONNX"),
        ({"data": images(1), "model": "/nonexistent.onnx"}, FileError, "nonexistent"),
        ({"data": images(1), "model": small_network(), "input_shapes": {"x": [1]}}, InvalidArgumentError, "ONNX"),
    ],
)
def test_errors_leave_no_file(tmp_path: Path, arguments: dict[str, Any], error: type[WhitError], says: str) -> None:
    out = tmp_path / "model.whit"
    out.write_bytes(b"what was there")
    with pytest.raises(error, match=says):
        run(**({"model": small_classifier(), "out": out} | arguments))
    assert [path.name for path in tmp_path.iterdir()] == ["model.whit"]
    assert out.read_bytes() == b"what was there"


def test_places_that_cannot_be_written(tmp_path) -> None:
    with pytest.raises(InvalidArgumentError, match="is a folder"):
        compress(small_classifier(), tmp_path, "f32")
    with pytest.raises(InvalidArgumentError, match="does not exist"):
        compress(small_classifier(), tmp_path / "missing" / "model.whit", "f32")


def test_quantised_models_are_refused_by_int8_and_kept_by_f32() -> None:
    from onnx import TensorProto, helper, numpy_helper

    constants = {"scale": np.float32(0.1), "zero": np.int8(3), "w": np.ones((2, 4), np.float32)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], "dequantize"),
        helper.make_node("Gemm", ["d", "w"], ["y"], "product", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(RecipeError, match=r"quantised already.*Recipe 'f32' keeps it"):
        run(model, data=np.ones((2, 4), np.float32))
    assert run(model, recipe="f32").file


def test_steps_without_layers_are_told() -> None:
    """A name that no layer has is refused, with the names there are; an operator that the model lacks is noted."""
    prune = {"kind": "prune", "criterion": "magnitude"}
    report = run(small_classifier(), recipe={"steps": [prune | {"layers": ["@lstm"]}]})
    assert report.notes == ("prune: the model has no layer that this step is for",)
    with pytest.raises(RecipeError, match=r"no layer matches 'convv'.*; layers: .*stem/conv"):
        run(small_classifier(), recipe={"steps": [prune | {"layers": ["convv"]}]})
