"""The bench of a binary network, on made-up pictures: what it exports, what it checks, what it says without data."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

import whit
from bench import binary_network
from whit.ir import Graph


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def write_pictures(folder: Path, counts: dict[str, int]) -> None:
    """Files as the Debian package has them: stripes of ten widths."""
    random = np.random.default_rng(3)
    for part, count in counts.items():
        labels = random.integers(0, 10, count).astype(np.uint8)
        stripes = (np.arange(28) % (labels[:, None] + 2) == 0) * 200
        images = np.broadcast_to(stripes[:, None], (count, 28, 28)) + random.integers(0, 50, (count, 28, 28))
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{name}.gz").write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), 1))


def first_layer(seed: int = 0) -> Graph:
    graph = binary_network.network(binary=True, middle=(64,), seed=seed)
    random = np.random.default_rng(seed)
    node = next(node for node in graph.nodes if node.op == "conv")
    channels = len(graph.tensors[node.inputs[1]].data)
    size = np.exp(random.uniform(-6, 6, channels)).astype(np.float32)
    graph.tensors[node.inputs[1]].data = graph.tensors[node.inputs[1]].data * size[:, None, None, None]
    graph.tensors[node.inputs[2]].data = (random.standard_normal(channels) * size).astype(np.float32)
    return graph


def test_sums_of_the_first_layer_are_exact() -> None:
    """In f32, in a random order, from the bias on: the same as in f64. Before the rounding they are not."""
    random = np.random.default_rng(1)
    graph = first_layer()
    node = next(node for node in graph.nodes if node.op == "conv")
    image = random.integers(0, 256, 25).astype(np.float32) / 256

    def sums(dtype: type, order: np.ndarray) -> np.ndarray:
        weights = graph.tensors[node.inputs[1]].data.reshape(-1, 25)
        total = graph.tensors[node.inputs[2]].data.astype(dtype)
        for tap in order:
            total = (total + (image[tap].astype(dtype) * weights[:, tap]).astype(dtype)).astype(dtype)
        return total.astype(np.float64)

    before = graph.tensors[node.inputs[1]].data
    assert (sums(np.float32, random.permutation(25)) != sums(np.float64, np.arange(25))).any()
    binary_network.make_sums_exact(graph)
    for _ in range(5):
        np.testing.assert_array_equal(sums(np.float32, random.permutation(25)), sums(np.float64, np.arange(25)))
    rounded = graph.tensors[node.inputs[1]]
    largest = np.abs(before).max(axis=(1, 2, 3))
    assert (np.abs(rounded.data - before).max(axis=(1, 2, 3)) <= largest / 127).all()
    np.testing.assert_array_equal(rounded.codes.dequantize(), rounded.data)


def test_a_bias_too_large_for_exact_sums() -> None:
    graph = first_layer()
    node = next(node for node in graph.nodes if node.op == "conv")
    graph.tensors[node.inputs[2]].data = graph.tensors[node.inputs[2]].data * 1e6
    with pytest.raises(ValueError, match="too large for exact sums"):
        binary_network.make_sums_exact(graph)


def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Trains both networks on a few pictures; the file runs in bits and predicts what its mirror does."""
    write_pictures(tmp_path, {"train": 640, "t10k": 300})
    monkeypatch.setattr(binary_network, "MIDDLE", (32, "pool", 32))
    monkeypatch.setattr(binary_network, "HELD_OUT", 128)
    code = binary_network.main(
        ["--data", str(tmp_path), "--work", str(tmp_path / "work"), "--epochs", "3", "--threads", "1"]
    )
    out = capsys.readouterr().out
    (accuracy,) = (line.split()[1] for line in out.splitlines() if line.startswith("binary "))
    assert code == (float(accuracy) < 90)
    assert float(accuracy) > 30
    assert "300 of 300 predictions of binary.whit are those of its mirror" in out
    assert [line.split()[0] for line in out.splitlines()].count("binary:") == 3
    sizes = {name: (tmp_path / "work" / f"{name}.whit").stat().st_size for name in ("f32", "s8", "binary")}
    assert sizes["binary"] < 0.6 * sizes["s8"] < 0.4 * sizes["f32"]


def test_plans_that_are_not_in_bits() -> None:
    graph = binary_network.network(binary=False, middle=(32, 32), seed=1)
    file = whit.compress(graph, recipe="f32").file
    with whit.load(file) as model, pytest.raises(AssertionError, match="kernels of the convolutions: "):
        binary_network.check_plan(model, 2)


def test_without_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert binary_network.main(["--data", str(tmp_path)]) == 2
    assert "apt-get install dataset-fashion-mnist" in capsys.readouterr().err
    write_pictures(tmp_path, {"train": 8})
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    with pytest.raises(ValueError, match="is damaged: it holds 7 bytes"):
        binary_network.read(tmp_path, "train")
