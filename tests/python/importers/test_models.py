"""Real networks: imported, run in numpy, compared with onnxruntime."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest
from onnx_check import check_graph, compare, ops, run_onnx

from whit.importers.onnx import import_onnx

MODELS = ("ccexam_mnist", "efficientnet_lite0", "mobilenet_v2", "ppocr_cls", "ppocrv4_det", "resnet20_cifar10")
MODELS += ("resnet20_cifar10_raw", "silero_vad_openvino_16k")


@pytest.mark.parametrize("name", MODELS)
def test_shared_model(name: str, shared: pathlib.Path) -> None:
    path = shared / "models" / f"{name}.onnx"
    if not path.exists():
        pytest.skip(f"no {path.name}")
    graph = import_onnx(path)
    check_graph(graph)
    rng = np.random.default_rng(0)
    feeds = {}
    for name in graph.inputs:
        shape = [size if isinstance(size, int) else 2 for size in graph.tensors[name].shape]
        feeds[name] = rng.standard_normal(shape).astype(np.float32)
    compare(graph, feeds, run_onnx(onnx.load(path), feeds), tolerance=1e-4)


def test_raw_export_is_as_clean_as_the_simplified_one(shared: pathlib.Path) -> None:
    raw = import_onnx(shared / "models" / "resnet20_cifar10_raw.onnx")
    clean = import_onnx(shared / "models" / "resnet20_cifar10.onnx")
    assert sorted(ops(raw)) == sorted(ops(clean))
    assert raw.tensors["logits"].shape == ("N", 10)
    pinned = import_onnx(shared / "models" / "resnet20_cifar10_raw.onnx", input_shapes={"input": [1, 3, 32, 32]})
    assert pinned.tensors["logits"].shape == (1, 10)
