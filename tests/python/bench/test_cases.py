import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from bench import cases, files, onnx_builder  # noqa: E402
from bench.convert import ncnn, network  # noqa: E402
from whit.suite.topologies import TOPOLOGIES  # noqa: E402


@pytest.fixture(scope="module")
def models():
    return {name: onnx_builder.build(name, describe) for name, describe in TOPOLOGIES.items()}


@pytest.mark.parametrize(
    ("name", "millions", "parameters"),
    [("mobilenet_v1", 569, 4.2), ("mobilenet_v2", 301, 3.5), ("resnet18", 1814, 11.7), ("resnet50", 4089, 25.5)],
)
def test_topologies_have_the_published_sizes(models, name, millions, parameters):
    if name == "mobilenet_v2":  # it has every operator but max_pool; large models take long
        onnx.checker.check_model(models[name], full_check=True)
    assert files.macs(models[name]) / 1e6 == pytest.approx(millions, rel=2e-3)
    count = sum(int(np.prod(tensor.dims)) for tensor in models[name].graph.initializer)
    assert count / 1e6 == pytest.approx(parameters, rel=2e-2)


def test_the_same_name_gives_the_same_weights():
    first, second, other = (cases._gemm([1, 8, 8], name).make() for name in ("gemm", "gemm", "gemv"))
    assert first.SerializeToString() == second.SerializeToString()
    assert first.graph.initializer[0].raw_data != other.graph.initializer[0].raw_data


def test_converters_read_the_topologies(models, tmp_path):
    layers = {"mobilenet_v1": 29, "mobilenet_v2": 64, "resnet18": 31, "resnet50": 72}
    for name in ("mobilenet_v1", "mobilenet_v2", "resnet18"):
        onnx.save(models[name], tmp_path / "model.onnx")
        read = network.read(tmp_path / "model.onnx")
        assert len(read.layers) == layers[name]
        assert not read.quantized
        kinds = {layer.activation for layer in read.layers}
        assert kinds == {None, "relu6" if name == "mobilenet_v2" else "relu"}
        param, weights = ncnn.convert(read)
        lines = param.splitlines()
        assert lines[1].split()[0] == str(len(lines) - 2)
        # Every weight tensor with its four bytes of a tag, and every bias.
        tensors = [array for layer in read.layers if layer.weight.size for array in (layer.weight, layer.bias)]
        assert len(weights) == sum(array.nbytes for array in tensors) + 4 * len(tensors) // 2


def test_shapes_are_known_by_name_and_by_their_first_word():
    everything = [*cases.gemm(None), *cases.conv(None)]
    assert len({case.name for case in everything}) == len(everything)
    assert all(" " in case.name and case.layer for case in everything)
    assert [case.name for case in cases.gemm(["gemv"])] == ["gemv 1x1000x1280", "gemv 1x4096x4096"]
    assert [case.name for case in cases.conv(["dw3x3 7x7 960"])] == ["dw3x3 7x7 960"]
    with pytest.raises(ValueError, match="no case 'gemx'"):
        cases.gemm(["gemx"])
    with pytest.raises(ValueError, match="no case 'ppocrv4_det'"):
        cases.models(["ppocrv4_det"], None)


@pytest.mark.parametrize(
    ("case", "shape", "macs"),
    [
        (cases.conv(["first"])[0], (1, 3, 224, 224), 112 * 112 * 32 * 27),
        (cases.conv(["dw5x5s2"])[0], (1, 672, 14, 14), 49 * 672 * 25),
        (cases.gemm(["call"])[0], (1, 16), 256),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_layers_have_the_shapes_of_the_file(case, shape, macs, tmp_path):
    made = files.Files(case, tmp_path)
    assert made.input_shape() == shape
    assert made.macs() == macs
    assert made.sample().shape == shape


@pytest.mark.parametrize("activations", ["s8", "u8"])
def test_layers_take_and_give_integers_as_nhwc(activations, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    made = files.Files(cases._conv("3x3", 8, [16, 24], 3), tmp_path)
    prepared = made.qdq(activations)
    session = runtime.InferenceSession(prepared.paths[0], providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [1, 8, 8, 16]
    assert session.get_outputs()[0].shape == [1, 8, 8, 24]
    assert session.get_inputs()[0].type == {"s8": "tensor(int8)", "u8": "tensor(uint8)"}[activations]
    (result,) = session.run(None, {"input": prepared.native_input(made.sample())})
    y, reference = prepared.plain_output(result), made.reference()
    assert y.shape == reference.shape == (1, 24, 8, 8)
    # Half a step of the output, and what quantised inputs and weights add to it.
    assert np.abs(y - reference).max() < 8 * prepared.output.scale
