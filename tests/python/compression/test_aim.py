"""Layers stay dense where their zeros would cost time or bytes on the target, and the report says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_graphs import Builder
from small_onnx import images, small_classifier

import whit
from whit.compression import Prune, Quantize, Recipe
from whit.compression.aim import Aim
from whit.compression.targets import ENTRIES, NAMES, TARGETS, find_target, sparse_gain
from whit.errors import InvalidArgumentError
from whit.ir import Graph

DATA = images(6)
#: Of 32 x 32 pixels, large enough that moving pixels is little beside the products.
BIG = images(3, 32)


def convolution(kernel: int = 1, size: int = 32, channels: int = 64) -> Graph:
    b = Builder(0)
    return b.finish(b.conv(b.input("x", 1, size, size, channels), channels, kernel))


def zeros(weights: np.ndarray, share: float, height: int = 1, width: int = 1) -> np.ndarray:
    """Blocks of channels at random."""
    rows, columns = len(weights), weights.shape[-1]
    shape = (-(-rows // height), *weights.shape[1:-1], -(-columns // width))
    there = np.random.default_rng(1).random(shape) >= share
    grown = np.repeat(np.repeat(there, height, axis=0), width, axis=-1)[:rows, ..., :columns]
    return np.where(grown, weights, np.float32(0))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["s8", "f32"])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [1, 32])
def test_gain_grows_with_zeros(target: str, dtype: str, kernel: int, size: int) -> None:
    """From slower than dense with few zeros to faster with many, and without bound where nothing is left."""
    graph = convolution(kernel, size)
    weights = graph.constant("conv_w")
    gains = [
        sparse_gain(graph, graph.nodes[0], zeros(weights, share, 8), target, dtype)[0]
        for share in (0.0, 0.5, 0.75, 0.98)
    ]
    assert gains == sorted(gains)
    assert gains[0] < 1 < gains[-1]
    nothing, _ = sparse_gain(graph, graph.nodes[0], np.zeros_like(weights), target, dtype)
    assert nothing > gains[-1]


@pytest.mark.parametrize("target", TARGETS)
def test_the_cheapest_entries_are_found_in_the_zeros(target: str) -> None:
    graph = convolution(3)
    weights, costs = graph.constant("conv_w"), TARGETS[target].sparse.mac
    for entry, (height, width) in ENTRIES.items():
        gain, chosen = sparse_gain(graph, graph.nodes[0], zeros(weights, 0.9, height, width), target, "s8")
        assert costs[chosen, "s8"] <= costs[entry, "s8"]
        assert gain > 0.7 / 0.1 * TARGETS[target].mac["dense", "s8"] / costs[entry, "s8"] / 1.5


def test_gain_by_hand() -> None:
    """64 pixels, 4 of 16 weights: entries, pixels in whole tiles, and both layouts."""
    graph = convolution(1, 8, 4)
    weights = np.zeros((4, 1, 1, 4), np.float32)
    weights[1] = 1.0
    core = TARGETS["cortex-a72"]
    dense = 16 * 64 * core.mac["dense", "s8"]
    sparse = 4 * 64 * core.sparse.mac["1x4", "s8"] + 64 * (4 + 4) * core.sparse.layout["s8"]
    assert sparse_gain(graph, graph.nodes[0], weights, "cortex-a72", "s8") == (pytest.approx(dense / sparse), "1x4")


def test_open_sizes() -> None:
    """An open batch is one sample; open pixels are many, not one."""
    b = Builder(0)
    graph = b.finish(b.conv(b.input("x", "N", "H", "W", 64), 64, 1))
    fixed = convolution()
    weights = zeros(fixed.constant("conv_w"), 0.8)
    assert sparse_gain(graph, graph.nodes[0], weights, "cortex-a72", "s8") == sparse_gain(
        fixed, fixed.nodes[0], weights, "cortex-a72", "s8"
    )


def test_targets_by_name() -> None:
    assert [find_target(name) for name in TARGETS] == list(TARGETS)
    assert ("this", *TARGETS) == NAMES
    with pytest.raises(
        InvalidArgumentError, match=r"no target 'cortex-a7' .did you mean .*; targets: this, cortex-a53"
    ):
        find_target("cortex-a7")
    with pytest.raises(InvalidArgumentError, match="no target 'z80'; targets: this, cortex-a53, cortex-a72"):
        whit.compress(small_classifier(), None, "f32", target="z80")


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for isa, wanted in (("neon", "cortex-a72"), ("neondot", "cortex-a76"), ("avx512vnni", "x86-avx512vnni")):
        monkeypatch.setattr("whit.compression.targets.cpu", lambda isa=isa: {"isa": isa})
        assert find_target("this") == wanted
    monkeypatch.setattr("whit.compression.targets.cpu", lambda: {"isa": "scalar"})
    with pytest.raises(InvalidArgumentError, match="no costs for CPUs of level 'scalar'; name one of cortex-a53"):
        find_target("this")


def refusal(graph: Graph, sparse: np.ndarray, storage: str, *steps: Any, target: str = "cortex-a72") -> tuple[str, str]:
    found = Aim.of(target, storage, steps).refusal(graph, graph.nodes[0], graph.constant("conv_w"), sparse)
    return ("", "") if found is None else (found.kind, found.text)


def test_reasons() -> None:
    graph = convolution(3)
    weights = graph.constant("conv_w")
    assert refusal(graph, zeros(weights, 0.9), "coded", Quantize()) == ("", "")
    kind, text = refusal(graph, zeros(weights, 0.2), "coded", Quantize())
    assert kind == "slower sparse"
    gain, _ = sparse_gain(graph, graph.nodes[0], zeros(weights, 0.2), "cortex-a72", "s8")
    assert f"{1 / gain:.2f} times the cycles on cortex-a72" in text
    assert "20% zeros" in text
    grouped = Builder(0)
    graph = grouped.finish(grouped.conv(grouped.input("x", 1, 8, 8, 16), 16, group=16))
    assert refusal(graph, np.zeros((16, 3, 3, 1), np.float32), "coded")[0] == "no sparse kernel"


def test_zeros_that_make_the_file_no_smaller() -> None:
    """A layer of two values, which take one bit each already; with zeros there are three."""
    graph = convolution()
    weights = np.sign(graph.constant("conv_w"))
    graph.tensors["conv_w"].data[:] = weights
    kind, text = refusal(graph, zeros(weights, 0.7), "packed", Quantize())
    assert kind == "not smaller sparse"
    assert "bytes of the file" in text


def test_arithmetic_decides() -> None:
    """What pays in f32 may not in s8, whose dense products are faster."""
    graph, target = convolution(), "x86-avx512vnni"
    sparse = zeros(graph.constant("conv_w"), 0.7)
    assert refusal(graph, sparse, "coded", target=target) == ("", "")
    assert refusal(graph, sparse, "coded", Quantize(activations="f32"), target=target) == ("", "")
    assert refusal(graph, sparse, "coded", Quantize(), target=target)[0] == "slower sparse"
    assert refusal(graph, sparse, "coded", Quantize(skip=("conv",)), target=target) == ("", "")


@pytest.mark.parametrize("sequential", [False, True])
def test_recipes(sequential: bool) -> None:
    """Few zeros: nothing is pruned for a target, and the report says which and why. Many: what pays is."""
    step = Prune(sparsity=0.3, sequential=sequential, min_weight_elements=64)
    recipe = Recipe("mine", storage="coded", steps=(step, Quantize()))

    def compress(recipe: Recipe, target: str | None) -> whit.Report:
        model = small_classifier(size=32)
        return whit.compress(model, None, recipe, BIG, target=target, progress=lambda *_: None)

    plain, aimed = compress(recipe, None), compress(recipe, "cortex-a72")
    names = {layer.name for layer in plain.layers if (layer.sparsity or 0) > 0.25}
    assert names
    assert not any(note.startswith("prune for") for note in plain.notes)
    stays = {layer.name: layer for layer in aimed.layers if layer.name in names}
    assert all(layer.note.startswith("stays dense: ") and layer.sparsity < 0.1 for layer in stays.values())
    assert f"prune for cortex-a72: 0 layers sparse, {len(names)} stay dense" in aimed.notes
    listed = [note for note in aimed.notes if note.startswith(("slower sparse: ", "no sparse kernel: "))]
    assert names == {name for note in listed for name in note.split(": ", 1)[1].split(", ")}
    for text in (str(aimed), aimed.to_html(), str(aimed.to_dict())):
        assert "stays dense: " in text
        assert "prune for cortex-a72: 0 layers sparse" in text
    many = recipe.with_settings(["prune.sparsity=0.9"])
    report = compress(many, "cortex-a72")
    found = {layer.name: layer for layer in report.layers if layer.name in names}
    assert found["stem/conv_1"].sparsity > 0.8
    assert found["depthwise/conv_1"].note == "stays dense: no sparse kernel for grouped convolutions"
    assert (
        compress(many, None).file
        == whit.compress(small_classifier(size=32), None, many, BIG, progress=lambda *_: None).file
    )
