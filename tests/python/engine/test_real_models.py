"""Whole networks against onnxruntime: f32 within 1e-4, integer models to the step, for 1 and 2 threads."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image, ImageDraw

import whit
from whit.preprocess import PRESETS

MODELS = (
    "ccexam_mnist",
    "efficientnet_lite0",
    "mobilenet_v2",
    "ppocr_cls",
    "ppocrv4_det",
    "resnet20_cifar10",
    "resnet20_cifar10_raw",
    "silero_vad_openvino_16k",
)


def text_page() -> np.ndarray:
    """A page of rendered text as PP-OCR wants it: f32 [1, 3, 320, 320]."""
    page = Image.new("RGB", (320, 320), "white")
    draw = ImageDraw.Draw(page)
    for line in range(12):
        draw.text((10 + 5 * (line % 3), 8 + 26 * line), f"whit runs on small boards, line {line}", fill="black")
    pixels = np.asarray(page, np.float32).transpose(2, 0, 1)[None]
    return (pixels / 255 - 0.5) / 0.5


def feeds_for(name, session, seed):
    rng = np.random.default_rng(seed)
    feeds = {}
    for info in session.get_inputs():
        shape = [size if isinstance(size, int) else 2 for size in info.shape]
        feeds[info.name] = rng.standard_normal(shape).astype(np.float32)
    if name == "ppocrv4_det":
        feeds = {"x": text_page()}
    return feeds


def with_outputs(model, names):
    """The same ONNX model that hands out further tensors."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    return model


def onnx_session(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_f32_equals_onnxruntime(name, threads, shared, tmp_path):
    proto = onnx.load(shared / "models" / f"{name}.onnx")
    session = onnx_session(proto)
    out = tmp_path / "model.whit"
    whit.compress(proto, out, recipe="f32")
    with whit.load(out, threads=threads) as model:
        for seed in range(2):
            feeds = feeds_for(name, session, seed)
            wanted = session.run(None, feeds)
            got = model.run(feeds)
            for info, expected in zip(session.get_outputs(), wanted, strict=True):
                assert got[info.name].shape == expected.shape
                bound = 1e-4 * max(1.0, float(np.abs(expected).max()))
                assert np.abs(got[info.name] - expected).max() <= bound


def test_text_detection_before_its_sigmoid(shared, tmp_path):
    """The sigmoid hides errors; the tensor before it must agree too."""
    proto = onnx.load(shared / "models" / "ppocrv4_det.onnx")
    sigmoid = next(node for node in proto.graph.node if node.op_type == "Sigmoid")
    proto = with_outputs(proto, [sigmoid.input[0]])
    feeds = {"x": text_page()}
    wanted = onnx_session(proto).run([sigmoid.input[0]], feeds)[0]
    whit.compress(proto, tmp_path / "det.whit", recipe="f32")
    with whit.load(tmp_path / "det.whit") as model:
        got = model.run(feeds)[sigmoid.input[0]]
    assert wanted.max() > 0 > wanted.min()
    assert np.abs(got - wanted).max() <= 1e-4 * max(1.0, float(np.abs(wanted).max()))


def photos(shared, indices):
    """Photos as MobileNetV2 wants them, f32 [1, 3, 224, 224] each."""
    paths = sorted((shared / "data" / "imagenet1k_sample256").glob("*.jpg"))
    return [PRESETS["imagenet"].apply(paths[index])[None] for index in indices]


@pytest.mark.parametrize("quant_format", ["QDQ", "QOperator"])
def test_quantised_models_of_onnxruntime(quant_format, shared, tmp_path):
    """onnxruntime's static quantiser makes the model; whit runs it on s8 kernels within one step.

    With u8 activations, the quantiser's default, which onnxruntime runs in integers (with s8 it leaves some
    convolutions in f32). Calibrated on photos: noise is amplified so much that single ties decide.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.items = iter([{"input": x} for x in photos(shared, range(0, 160, 10))])

        def get_next(self):
            return next(self.items, None)

    quantised = tmp_path / "quantised.onnx"
    quantize_static(
        str(shared / "models" / "mobilenet_v2.onnx"),
        str(quantised),
        Reader(),
        quant_format=QuantFormat[quant_format],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    proto = onnx.load(quantised)
    last = proto.graph.node[-1]
    assert last.op_type == "DequantizeLinear"  # the model ends in integers that are made real
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    step = float(constants[last.input[1]])

    whit.compress(proto, tmp_path / "quantised.whit", recipe="f32")
    session = onnx_session(proto)
    with whit.load(tmp_path / "quantised.whit") as model:
        products = [node["kernel"] for node in model.kernels() if node["op"] in ("conv", "gemm")]
        kernels = [kernel for product in products for kernel in product.removeprefix("bands: ").split()]
        assert len(kernels) == 53
        assert all("s8" in kernel for kernel in kernels)
        steps = [
            np.abs(model(x) - session.run(None, {"input": x})[0]) / step for x in photos(shared, range(5, 165, 20))
        ]
    assert np.mean(np.stack(steps) <= 1.001) >= 0.999
