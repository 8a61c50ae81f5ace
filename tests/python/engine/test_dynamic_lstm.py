"""lstm with `dynamic`: rows of inputs and of states rounded while it runs, times s8 weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from builder import quantization
from engine_graphs import EngineBuilder

import whit
from whit import _core
from whit.format import write
from whit.ir import Quantization

LEVELS = _core.cpu()["active"]


def lstm(
    b: EngineBuilder, steps: int, batch: int, width: int, hidden: int, direction: str = "forward", dynamic: int = 1
) -> list[str]:
    d = 2 if direction == "bidirectional" else 1
    inputs = [
        b.input("x", steps, batch, width),
        b.weights_s8(d, 4 * hidden, width, axis=1),
        b.weights_s8(d, 4 * hidden, hidden, axis=None),
        b.random_constant(d, 8 * hidden, scale=0.3),
        b.input("h0", d, batch, hidden),
        b.input("c0", d, batch, hidden),
    ]
    b.graph.outputs = b.nodes("lstm", *inputs, outputs=3, direction=direction, dynamic=dynamic)
    return b.graph.outputs


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("sizes", [(1, 1, 3, 4), (5, 1, 33, 17), (4, 3, 16, 32), (2, 1, 70, 270)])
def test_every_level(sizes: tuple[int, int, int, int], direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums of gates are exact, so levels and threads give the same bytes; the sigmoid and tanh of the reference are
    f64, a few roundings away. (A state that they move over the edge of a step would be further away; none is here.)
    """
    b = EngineBuilder(sum(sizes))
    outputs = lstm(b, *sizes, direction)
    data, first = write(b.graph), {}
    for isa, threads in itertools.product(LEVELS, (1, 2)):
        monkeypatch.setenv("WHIT_ISA", isa)
        with whit.load(data, threads=threads) as model:
            found = {name: np.array(value) for name, value in model.run(b.feeds).items()}
            (node,) = model.profile(b.feeds, runs=1).nodes
        assert node.kernel.startswith("gemm_s8")
        for name in outputs:
            np.testing.assert_allclose(found[name], b.values[name], rtol=0, atol=2e-6 * sizes[0])
            np.testing.assert_array_equal(found[name], first.setdefault(name, found[name]))


def test_weights_take_a_byte() -> None:
    b = EngineBuilder()
    lstm(b, 2, 1, 256, 256)
    with whit.load(write(b.graph)) as model:
        model.run(b.feeds)
        assert model.packed_bytes <= 1.1 * (256 + 256) * 4 * 256


def test_refused() -> None:
    b = EngineBuilder()
    lstm(b, 2, 1, 8, 8, dynamic=0)
    b.graph.nodes[0].attributes["dynamic"] = 2
    with pytest.raises(whit.UnsupportedOperatorError, match="dynamic is 2; 0 and 1 are known"):
        whit.load(write(b.graph)).run(b.feeds)
    b.graph.nodes[0].attributes["dynamic"] = 1
    weights = b.graph.tensors[b.graph.nodes[0].inputs[1]]
    weights.quantization = Quantization.by_groups(np.ones((32, 1), np.float16), 3)
    with pytest.raises(whit.UnsupportedOperatorError, match="need one scale, or one per output channel"):
        whit.load(write(b.graph)).run(b.feeds)
    weights.quantization = quantization(0.1, 3)
    with pytest.raises(whit.UnsupportedOperatorError, match="zero point other than 0"):
        whit.load(write(b.graph)).run(b.feeds)
    weights.dtype, weights.quantization, weights.data = "f32", None, weights.data.astype(np.float32)
    with pytest.raises(whit.UnsupportedOperatorError, match="f32"):
        whit.load(write(b.graph)).run(b.feeds)
