"""compress and compare with the engine: from ONNX to numbers out of the integer kernels."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_onnx import images, small_classifier

import whit
from whit.compression import PRESETS, Report
from whit.compression.equalize import decode_factors
from whit.report import compare

DATA = images(40)
TEST = images(20, seed=2)


@pytest.fixture(scope="module")
def int8() -> Report:
    return whit.compress(small_classifier(), data=DATA)


def f32_logits() -> np.ndarray:
    session = onnxruntime.InferenceSession(small_classifier().SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": sample[None]})[0] for sample in TEST])


def run(file: bytes | None) -> np.ndarray:
    assert file is not None
    model = whit.load(file)
    return np.concatenate([model(sample[None]) for sample in TEST])


def snr(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / np.square(got - wanted).sum()))


def test_int8_is_close_to_onnxruntime_f32(int8) -> None:
    wanted, got = f32_logits(), run(int8.file)
    assert got.dtype == np.float32
    assert snr(wanted, got) > 28
    assert (wanted.argmax(1) == got.argmax(1)).mean() >= 0.9


def test_only_the_ends_are_f32(int8) -> None:
    model = whit.load(int8.file)
    ops = [node["op"] for node in model.nodes()]
    assert ops.count("quantize_linear") == 1
    assert "dequantize_linear" not in ops
    dtypes = {item["name"]: item["dtype"] for item in model.tensors()}
    for node in model.nodes():
        if node["op"] in ("conv", "gemm"):
            assert dtypes[node["inputs"][0]] == dtypes[node["inputs"][1]] == "s8"


def test_f32_loses_nothing_and_s8_weights_little() -> None:
    wanted = f32_logits()
    weights = PRESETS["int8-weights"].with_settings(["quantize.min_weight_elements=64"])
    losses = [
        snr(wanted, run(whit.compress(small_classifier(), None, recipe, DATA).file))
        for recipe in ("f32", weights, "int8")
    ]
    assert losses[0] > 100
    assert 35 < losses[1] < 100
    assert 28 < losses[2] < 100


def test_equalisation_and_bias_correction_help_uneven_channels() -> None:
    import onnx
    from onnx import numpy_helper

    model = small_classifier()
    scales = np.exp(np.random.default_rng(4).normal(0, 1.3, 16)).astype(np.float32)
    # The same function: what the projection writes is scaled, and the head reads it scaled back; the residual goes.
    constants = {item.name: item for item in model.graph.initializer}
    for name, factor in (
        ("project_w", scales[:, None, None, None]),
        ("project_b", scales),
        ("head_w", 1 / scales[None, :, None, None]),
    ):
        constants[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constants[name]) * factor, name))
    add = next(node for node in model.graph.node if node.op_type == "Add")
    head = next(node for node in model.graph.node if node.name == "head")
    head.input[0] = add.input[0]
    model.graph.node.remove(add)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = np.concatenate([session.run(None, {"image": sample[None]})[0] for sample in TEST])
    with_it = whit.compress(model, None, "int8", DATA)
    without = whit.compress(model, None, PRESETS["int8"].with_settings(["quantize.equalize=false"]), DATA)
    assert snr(wanted, run(with_it.file)) > snr(wanted, run(without.file)) + 3
    factors = decode_factors(whit.load(with_it.file).metadata["equalization"])
    assert any(values.max() > 2 for values in factors.values())
    # Names and factors still let every layer be compared.
    comparison = compare(model, with_it.file, TEST)
    assert min(layer.snr_db for layer in comparison.layers) > 20


def test_compare_finds_the_layer_that_was_damaged(int8) -> None:
    good = compare(small_classifier(), int8.file, TEST)
    assert good.samples == 20
    assert len(good.layers) >= 6
    assert [layer.snr_db for layer in good.layers] == sorted(layer.snr_db for layer in good.layers)
    assert good.outputs[0].top1_agreement is not None
    assert good.outputs[0].top1_agreement >= 0.9
    assert "nothing to do" in good.advice[0]

    from onnx import numpy_helper

    model = small_classifier()
    for item in model.graph.initializer:
        if item.name == "head_w":
            changed = numpy_helper.to_array(item)[:, ::-1].copy()
            item.CopyFrom(numpy_helper.from_array(changed, item.name))
    bad = compare(model, int8.file, TEST)
    culprit = next(layer for layer in bad.layers if layer.name.startswith("head"))
    assert culprit.snr_db < 10
    assert culprit.input_snr_db is not None
    assert culprit.input_snr_db > 25
    assert any("quantize.skip" in text and repr(culprit.name) in text for text in bad.advice)


def test_following_the_advice_works() -> None:
    recipe = PRESETS["int8"].with_settings(['quantize.skip=["head*"]'])
    report = whit.compress(small_classifier(), None, recipe, DATA)
    kinds = {layer.name: layer.dtype for layer in report.layers}
    assert [kind for name, kind in kinds.items() if name.startswith("head")] == ["f32"]
    assert snr(f32_logits(), run(report.file)) > 28


def test_comparison_for_programs_and_people(int8) -> None:
    comparison = compare(small_classifier(), whit.load(int8.file), iter(TEST))
    values = json.loads(json.dumps(comparison.to_dict()))
    assert set(values) == {"samples", "layers", "outputs", "advice"}
    assert set(values["layers"][0]) == {"name", "op", "tensor", "dtype", "snr_db", "input_snr_db", "max_abs"}
    assert set(values["outputs"][0]) == {"name", "snr_db", "max_abs", "max_abs_reference", "top1_agreement"}
    text = str(comparison)
    assert "top-1 agreement" in text
    for layer in comparison.layers:
        assert layer.name in text


def test_compare_refuses_other_models(int8) -> None:
    model = small_classifier()
    model.graph.output[0].name = "other"
    model.graph.node[-1].output[0] = "other"
    with pytest.raises(whit.InvalidArgumentError, match="other outputs: other and logits"):
        compare(model, int8.file, TEST)
    with pytest.raises(whit.CalibrationError, match="empty"):
        compare(small_classifier(), int8.file, [])


def test_open_batch_gives_the_same_for_one_and_many() -> None:
    report = whit.compress(small_classifier("N"), None, "int8", DATA)
    model = whit.load(report.file)
    together = model(TEST)
    np.testing.assert_array_equal(together, np.concatenate([model(sample[None]) for sample in TEST]))


def feeds() -> Iterator[dict[str, np.ndarray]]:
    yield from ({"image": sample[None]} for sample in DATA)


def test_sources_of_data_give_the_same_file(int8, tmp_path) -> None:
    np.savez(tmp_path / "data.npz", image=DATA)
    (tmp_path / "folder").mkdir()
    for index, sample in enumerate(DATA):
        np.save(tmp_path / "folder" / f"{index:03}.npy", sample)
    for source in (feeds(), feeds, tmp_path / "data.npz", tmp_path / "folder"):
        assert whit.compress(small_classifier(), None, "int8", source).file == int8.file


def test_real_models(shared) -> None:
    """A few photos through the real network: size, agreement, and every layer comparable."""
    from whit.preprocess import PRESETS as STEPS

    model = shared / "models" / "mobilenet_v2.onnx"
    paths = sorted((shared / "data" / "imagenet1k_sample256").glob("*.jpg"))
    report = whit.compress(model, None, "int8", [str(path) for path in paths[::50]], preprocess=STEPS["imagenet"])
    assert report.file is not None
    assert report.file_bytes < 0.3 * model.stat().st_size
    assert not report.notes
    comparison = compare(model, report.file, [str(path) for path in paths[7::50]])
    assert comparison.outputs[0].snr_db > 15
    assert comparison.outputs[0].top1_agreement is not None
    assert comparison.outputs[0].top1_agreement >= 0.8
    assert len(comparison.layers) > 50


def test_operators_whose_first_output_is_absent() -> None:
    """An LSTM of which the last state alone is used: reported, compared and searched like any other layer."""
    rng = np.random.default_rng(0)
    constants = {"w": (1, 32, 12), "r": (1, 32, 8), "b": (1, 64), "head_w": (4, 8)}
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name) for name, shape in constants.items()
    ]
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r", "b"], ["", "state"], "lstm", hidden_size=8),
        helper.make_node("Squeeze", ["state", "axes"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "head_w"], ["scores"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "states",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [6, 1, 12])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4])],
        [*weights, numpy_helper.from_array(np.array([0]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    data = rng.normal(size=(10, 6, 1, 12)).astype(np.float32)
    report = whit.compress(model, None, "int8", data, evaluation=data, times=True, progress=lambda *_: None)
    (lstm,) = [layer for layer in report.layers if layer.op == "lstm"]
    assert lstm.stored_bytes > 0
    assert lstm.snr_db is not None
    assert lstm.snr_db > 20
    assert lstm.ms_after
    found = compare(model, report.file, data, progress_callback=lambda *_: None)
    assert "lstm" in [layer.name for layer in found.layers]

    dynamic = PRESETS["int8-weights"].with_settings(["quantize.activations=dynamic", "quantize.min_weight_elements=0"])
    report = whit.compress(model, None, dynamic, data, progress=lambda *_: None)
    (lstm,) = [layer for layer in report.layers if layer.op == "lstm"]
    assert lstm.dtype == "s8 (dynamic)"
    assert lstm.snr_db is not None
    assert lstm.snr_db > 30
