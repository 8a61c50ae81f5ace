"""Models that take pictures as they are: u8 inputs, the normalisation inside of the first convolution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import Builder
from small_onnx import small_classifier

import reference
import whit
from whit.compression.pictures import decode_pictures, encode_pictures, take_pictures
from whit.ir import Graph
from whit.optimize import optimize
from whit.preprocess import PRESETS, Preprocess
from whit.report import compare

STEPS = {
    "imagenet": replace(PRESETS["imagenet"], resize=None, crop=None),
    "tf": replace(PRESETS["tf"], resize=None, crop=None),
    "bgr": Preprocess(channels="BGR", scale=2 / 255, mean=(0.9, 1.1, 1.3), std=(0.25, 0.5, 1.0)),
}


def photos(count: int = 24, channels: int = 3, seed: int = 5) -> np.ndarray:
    """u8 [count, 16, 16, channels]: soft, dark and bright ones."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 255, (count, 1, 1, channels)) + rng.normal(0, 60, (count, 16, 16, channels))
    return np.clip(values, 0, 255).astype(np.uint8)


def snr(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / max(np.square(got - wanted).sum(), 1e-30)))


def logits(file: bytes | None, samples: np.ndarray) -> np.ndarray:
    assert file is not None
    model = whit.load(file)
    return np.concatenate([model(sample[None]) for sample in samples])


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("recipe", ["f32", "int8-weights", "int8"])
def test_as_accurate_as_with_f32_inputs(name: str, recipe: str) -> None:
    steps, model, data, test = STEPS[name], small_classifier(), photos(), photos(12, seed=6)
    wanted = logits(whit.compress(model, None, "f32", preprocess=steps).file, steps.batch(test))
    plain = whit.compress(model, None, recipe, data, preprocess=steps)
    report = whit.compress(model, None, {"name": recipe, "inputs": "u8"}, data, preprocess=steps)
    pictures = np.stack([steps.as_picture().apply(photo) for photo in test])
    # The first layer's weights are rounded otherwise, and in s8 the padding to a whole pixel value.
    got, before = snr(wanted, logits(report.file, pictures)), snr(wanted, logits(plain.file, steps.batch(test)))
    assert got > (100 if recipe == "f32" else before - 2)
    assert got > 25
    (info,) = whit.load(report.file).inputs
    assert (info.dtype, info.shape) == ("u8", (1, 16, 16, 3))


def test_the_first_layer_reads_bytes() -> None:
    report = whit.compress(small_classifier(), None, {"inputs": "u8"}, photos(), preprocess=STEPS["imagenet"])
    model = whit.load(report.file)
    first, second = model.nodes()[:2]
    tensors = {item["name"]: item for item in model.tensors()}
    assert (first["op"], second["op"]) == ("requantize", "conv")
    assert model.kernels()[0]["kernel"] == "flip_topmost_bit"
    assert tensors[second["inputs"][0]]["quantization"] == {"scale": [1.0], "zero_point": [-128], "axis": None}
    np.testing.assert_allclose(second["attributes"]["pad_values"], 255 * np.array([0.485, 0.456, 0.406]), rtol=1e-6)
    ops = [node["op"] for node in model.nodes()]
    assert not {"quantize_linear", "transpose", "cast", "mul", "add"} & set(ops)
    assert model.metadata["recipe"]["inputs"] == "u8"
    stored = Preprocess.from_dict(model.metadata["preprocess"]["image"])
    assert stored == STEPS["imagenet"].as_picture()
    folded = replace(STEPS["imagenet"], interpolation="bicubic")  # the default: it does not matter here
    assert decode_pictures(model.metadata["pictures"])["image"] == folded


@pytest.mark.parametrize("name", STEPS)
def test_borders_are_as_exact_as_the_middle(name: str) -> None:
    """The padding is the mean, rounded; a padding of 0 or 128 would be far off."""
    report = whit.compress(small_classifier(), None, {"inputs": "u8"}, photos(), preprocess=STEPS[name])
    graph = take_pictures(optimize(_import(small_classifier())), {"image": STEPS[name]})
    model = whit.load(report.file)
    stem = next(node for node in model.nodes() if node["op"] == "conv")["outputs"][0]
    session = model.session(observe=[stem])
    scale, zero_point = (_quantization(model, stem)[key][0] for key in ("scale", "zero_point"))
    squares = []
    for photo in photos(8, seed=8):
        got = session.run({"image": photo[None]})[stem]
        wanted = reference.run(graph, {"image": photo[None]}, [stem])[stem]
        squares.append(np.square((got.astype(np.float64) - zero_point) * scale - wanted)[0])
    error = np.sqrt(np.mean(squares, axis=(0, 3)))
    border = np.concatenate([error[0], error[:, 0]])  # stride 2: padding is met above and at the left alone
    assert border.mean() < 1.5 * error[1:, 1:].mean()


def _quantization(model: whit.Model, name: str) -> Any:
    return next(item["quantization"] for item in model.tensors() if item["name"] == name)


def _import(model: onnx.ModelProto) -> Graph:
    from whit.importers.onnx import import_onnx

    return import_onnx(model)


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 2, 2]])
@pytest.mark.parametrize(("channels", "group"), [(3, 1), (1, 1), (3, 3)])
def test_folding_changes_nothing_in_f32(pads: list[int], channels: int, group: int) -> None:
    b = Builder(2)
    image = b.input("image", 1, channels, 16, 16)
    x = b.node("transpose", [image], (1, 16, 16, channels), perm=[0, 2, 3, 1])
    size = 14 + pads[0] + pads[2]
    y = b.conv(x, 6, 3, group=group, pads=pads)
    b.graph.tensors[y].shape = (1, size, size, 6)
    graph = b.finish(y)
    means = (0.4, 0.5, 0.6)[:channels]
    steps = Preprocess(channels="RGB" if channels == 3 else "GRAY", scale=1 / 255, mean=means, std=(0.3,))
    after = take_pictures(optimize(graph), {"image": steps})
    assert [node.op for node in after.nodes] == ["requantize", "dequantize_linear", "conv"]
    photo = photos(1, channels)[0]
    wanted = reference.run(graph, {"image": steps.apply(photo)[None]})[y]
    got = reference.run(after, {"image": photo[None]})[y]
    np.testing.assert_allclose(got, wanted, atol=2e-5)


def test_channels_last_models_and_open_sizes() -> None:
    b = Builder(2)
    x = b.input("image", "n", "h", "w", 3)
    graph = b.finish(b.node("abs", [b.conv(x, 4)], ("n", "h", "w", 4)))
    steps = replace(STEPS["imagenet"], layout="NHWC")
    after = take_pictures(optimize(graph), {"image": steps})
    assert after.tensors["image"].shape == ("n", "h", "w", 3)
    report = whit.compress(graph, None, {"inputs": "u8"}, photos(), preprocess=steps)
    for photo in photos(2, seed=9):
        (got,) = whit.load(report.file).run({"image": photo[None]}).values()
        (wanted,) = reference.run(graph, {"image": steps.apply(photo)[None]}).values()
        assert snr(wanted, got) > 30


def test_models_that_normalise_by_themselves() -> None:
    """Then the preprocessing is none, and what the model does folds all the same."""
    model = small_classifier()
    model.graph.initializer.append(numpy_helper.from_array(np.float32([[[110]], [[120]], [[130]]]), "mean"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(60), "std"))
    model.graph.node[0].input[0] = "normalised"
    model.graph.node.insert(0, helper.make_node("Div", ["centred", "std"], ["normalised"]))
    model.graph.node.insert(0, helper.make_node("Sub", ["image", "mean"], ["centred"]))
    plain = Preprocess()
    wanted = logits(whit.compress(model, None, "f32", preprocess=plain).file, plain.batch(photos(8, seed=6)))
    report = whit.compress(model, None, {"inputs": "u8"}, photos(), preprocess=plain)
    first, second = whit.load(report.file).nodes()[:2]
    assert (first["op"], second["op"]) == ("requantize", "conv")
    assert second["attributes"]["pad_values"] == [110, 120, 130]
    assert snr(wanted, logits(report.file, photos(8, seed=6))) > 25

    # The same with an f32 input: its range must hold the padding.
    data = plain.batch(photos())
    report = whit.compress(model, None, "int8", np.maximum(data, 140), preprocess=plain)
    (conv,) = (node for node in whit.load(report.file).nodes() if node["attributes"].get("pad_values"))
    quantization = _quantization(whit.load(report.file), conv["inputs"][0])
    steps = np.array([110, 120, 130]) / quantization["scale"][0] + quantization["zero_point"][0]
    assert (np.abs(steps) <= 128).all()


def test_compare_knows_what_was_folded() -> None:
    model, steps = small_classifier(), STEPS["imagenet"]
    report = whit.compress(model, None, {"inputs": "u8"}, photos(), preprocess=steps)
    for given in (None, steps):
        comparison = compare(model, report.file, photos(10, seed=7), preprocess=given)
        assert comparison.outputs[0].snr_db > 25
        layers = {layer.name: layer for layer in comparison.layers}
        assert min(layer.snr_db for layer in layers.values()) > 20
        assert sum(layer.op == "conv" for layer in layers.values()) == 4
    opened = whit.compress(
        small_classifier("n", "s"),
        None,
        {"inputs": "u8"},
        photos(),
        preprocess=steps,
        input_shapes={"image": [1, 3, 16, 16]},
    )
    assert compare(small_classifier("n", "s"), opened.file, photos(3, seed=7)).outputs[0].snr_db > 25


def _two_readers() -> onnx.ModelProto:
    model = small_classifier()
    model.graph.node.append(helper.make_node("Relu", ["image"], ["rectified"]))
    model.graph.output.append(helper.make_tensor_value_info("rectified", TensorProto.FLOAT, [1, 3, 16, 16]))
    return model


@pytest.mark.parametrize(
    ("model", "preprocess", "says"),
    [
        (small_classifier(), None, "give preprocess="),
        (small_classifier(), Preprocess(dtype="u8"), "must give f32"),
        (small_classifier(), Preprocess(layout="NHWC"), "not 3 channels"),
        (small_classifier(), Preprocess(channels="GRAY"), "not 1 channels"),
        (_two_readers(), STEPS["imagenet"], "one convolution alone reads; 'image' is read by"),
    ],
)
def test_what_cannot_be_folded(model: onnx.ModelProto, preprocess: Preprocess | None, says: str) -> None:
    with pytest.raises(whit.RecipeError, match=says):
        whit.compress(model, None, {"inputs": "u8"}, photos(), preprocess=preprocess)


def test_inputs_of_other_ranks_and_floats_as_data() -> None:
    b = Builder()
    graph = b.finish(b.gemm(b.input("x", 1, 8), 4))
    with pytest.raises(whit.RecipeError, match="four axes"):
        whit.compress(graph, None, {"name": "f32", "inputs": "u8"}, preprocess=Preprocess())
    floats = STEPS["tf"].batch(photos(2))
    with pytest.raises(whit.CalibrationError, match="pictures"):
        whit.compress(small_classifier(), None, {"inputs": "u8"}, floats, preprocess=STEPS["tf"])


def test_metadata_round_trip_and_nonsense() -> None:
    assert decode_pictures(encode_pictures(STEPS)) == {
        name: replace(steps, resize=None, crop=None, interpolation="bicubic") for name, steps in STEPS.items()
    }
    assert decode_pictures(None) == decode_pictures([1]) == decode_pictures({"x": 3, "y": {"key": 1}}) == {}
