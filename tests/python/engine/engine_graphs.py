"""Graphs for the tests of the engine, run by the engine and by reference.py and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from builder import Builder, quantization

import reference
import whit
from whit.dtypes import dtype_of
from whit.format import write
from whit.ir import Graph, Node, Quantization, Tensor

#: Half the distance from 1 to the next f32: the relative error of one rounding.
ROUNDING = 2.0**-24

#: Scale and zero point of activations, the extremes of the zero point among them.
ACTIVATIONS = ((0.05, 3), (0.02, -128), (0.1, 127), (0.031, 0))

Bound = Callable[[Graph, dict[str, np.ndarray], str, np.ndarray], Any]


class EngineBuilder(Builder):
    """`Builder` with inputs of every dtype."""

    def input(self, name: str, *shape: int, scale: float = 1.0) -> str:
        return self.feed(name, np.asarray(self.random.standard_normal(shape) * scale, np.float32))

    def nodes(self, op: str, *inputs: str, **more: Any) -> list[str]:
        with np.errstate(all="ignore"):  # not a number and infinity are meant
            return super().nodes(op, *inputs, **more)

    def feed(self, name: str, data: np.ndarray, q: Quantization | None = None) -> str:
        """An input of the graph that holds `data`."""
        self.feeds[name] = self.values[name] = data
        self.graph.inputs.append(name)
        return self.graph.add_tensor(Tensor(name, dtype_of(data), data.shape, q))

    def input_s8(self, name: str, *shape: int, scale: float = 0.05, zero_point: int = 3) -> str:
        """Any values, both ends among them."""
        return self.feed(name, self.any_s8(*shape), quantization(scale, zero_point))

    def any_s8(self, *shape: int, low: int = -128) -> np.ndarray:
        data = self.random.integers(low, 128, shape).astype(np.int8)
        if data.size > 1:
            data.flat[0], data.flat[-1] = low, 127
        return data

    def weights_s8(self, *shape: int, axis: int | None = 0) -> str:
        """Constants from -127 to 127, one scale for each index of `axis`, or one for all."""
        scale = self.random.uniform(0.002, 0.01, 1 if axis is None else shape[axis])
        return self.constant(self.any_s8(*shape, low=-127), quantization(scale, 0, axis))

    def bias_s32(self, x: str, w: str, size: int = 2000) -> str:
        weights = self.graph.tensors[w]
        qx, qw = self.graph.tensors[x].quantization, weights.quantization
        data = self.random.integers(-size, size, weights.shape[0]).astype(np.int32)
        scale = qx.scale * qw.scale
        return self.constant(data, quantization(scale, 0, None if scale.size == 1 else 0))

    def node_as(self, op: str, inputs: list[str], q: Quantization | None, dtype: str = "", **attributes: Any) -> str:
        """Adds a node whose output is s8 with `q`, else of `dtype`, else f32, whatever its inputs are."""
        name = f"{op}{len(self.graph.nodes)}"
        node = Node(op, name, list(inputs), [f"{name}:0"], attributes)
        tensor = Tensor(node.outputs[0], dtype or ("f32" if q is None else "s8"), None, q)
        sources = [self.graph.tensors[name] if name else None for name in inputs]
        with np.errstate(all="ignore"):
            call = reference.Call(node, [self.values.get(name) for name in inputs], sources, [tensor])
            value = np.asarray(reference.OPERATORS[op](call))
        tensor.shape = value.shape
        self.graph.nodes.append(node)
        self.values[self.graph.add_tensor(tensor)] = value
        return tensor.name


@dataclass
class Case:
    """One graph: `build` adds nodes and returns the outputs' names; f32 outputs may differ by `bound`."""

    name: str
    op: str
    build: Callable[[EngineBuilder], Any]
    bound: Bound
    is_s8: bool = False
    seed: int = field(default=0)


# --- bounds: (graph, feeds, output, wanted) -> how far each value may be off ---


def exact(graph: Graph, feeds: dict[str, np.ndarray], output: str, wanted: np.ndarray) -> Any:
    return 0


def ulps(count: float) -> Bound:
    """`count` units in the last place of the exact value, and half a one for the reference's own rounding."""

    def bound(graph: Graph, feeds: dict[str, np.ndarray], output: str, wanted: np.ndarray) -> Any:
        finite = np.where(np.isfinite(wanted), wanted, np.float32(1))
        return (count + 0.5) * np.spacing(np.abs(finite)).astype(np.float64)

    return bound


def sums(terms: int, slope: float = 1) -> Bound:
    """Of operators that are sums of `terms` products: gamma_n * |a| |b| for every output (Higham 2002, section 3.1).

    |a| |b| is the same graph on absolute values, without its activation. `slope`: the steepest that this gets.
    """

    def bound(graph: Graph, feeds: dict[str, np.ndarray], output: str, wanted: np.ndarray) -> Any:
        tensors = {
            name: Tensor(name, t.dtype, t.shape, t.quantization, None if t.data is None else np.abs(t.data))
            for name, t in graph.tensors.items()
        }
        nodes = [Node(node.op, node.name, node.inputs, node.outputs, dict(node.attributes)) for node in graph.nodes]
        for node in nodes:
            for name in ("activation", "clamp_min", "clamp_max"):
                node.attributes.pop(name, None)
            padding = node.attributes.get("pad_values")
            if isinstance(padding, list):
                node.attributes["pad_values"] = [abs(float(value)) for value in padding]
        absolute = Graph("", nodes, tensors, graph.inputs, graph.outputs)
        size = reference.run(absolute, {name: np.abs(value) for name, value in feeds.items()})[output]
        return slope * (terms + 6) * ROUNDING * size.astype(np.float64)

    return bound


def winograd(channels: int, slope: float = 1) -> Bound:
    """Of a 3x3 conv that may go through Winograd's transforms: docs/NUMERICS.md with T = 4, whose bound is the larger,
    and each channel of inputs as large as its largest everywhere; `sums` for the epilogue.
    """
    points = np.array([0, 0.75, -0.75, 1.5, -1.5])
    others = [np.delete(points, i) for i in range(5)]
    distances = np.array([np.prod(p - q) for p, q in zip(points, others, strict=True)])
    filters = np.abs(np.vstack([points[:, None] ** np.arange(3) / distances[:, None], [0, 0, 64 / 27]]))
    inputs = np.array([np.abs(np.poly(q)).sum() for q in [*others, points]])  # |B^T| times ones
    outputs = np.abs(np.column_stack([points**i for i in range(4)]).T)
    outputs = np.column_stack([outputs, [0, 0, 0, 27 / 64]])

    def bound(graph: Graph, feeds: dict[str, np.ndarray], output: str, wanted: np.ndarray) -> Any:
        x, w = graph.nodes[0].inputs[:2]
        weights = np.abs(np.asarray(graph.tensors[w].data, np.float64))
        q = graph.tensors[w].quantization
        if q is not None:
            weights *= np.asarray(q.scale).reshape(-1, 1, 1, 1)
        sizes = np.abs(feeds[x]).max(axis=(0, 1, 2)).astype(np.float64)
        products = np.einsum("ia,nabc,jb,c,i,j->nij", filters, weights, filters, sizes, inputs, inputs)
        most = np.einsum("yi,nij,xj->nyx", outputs, products, outputs).max(axis=(1, 2))
        return slope * 2 * ROUNDING * (channels + 20) * most + sums(9 * channels, slope)(graph, feeds, output, wanted)

    return bound


# --- running ---


def same(got: np.ndarray, wanted: np.ndarray, allowed: Any) -> None:
    """Integers and exact floats to the bit (any NaN is a NaN); else |got - wanted| <= allowed."""
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    if not np.any(np.asarray(allowed)):
        np.testing.assert_array_equal(got, wanted, strict=True)
        return
    special = ~np.isfinite(wanted)
    np.testing.assert_array_equal(got[special], wanted[special])
    with np.errstate(invalid="ignore"):
        excess = np.where(special, 0, np.abs(got.astype(np.float64) - wanted) - allowed)
    assert excess.max() <= 0, (
        f"off by {excess.max()} more than allowed, at {np.unravel_index(excess.argmax(), got.shape)}"
    )


def run_both(graph: Graph, feeds: dict[str, np.ndarray], bound: Bound = exact) -> dict[str, np.ndarray]:
    """Runs `graph` on 1 and on 3 threads, twice each, against the reference; returns the reference's outputs."""
    wanted = reference.run(graph, feeds)
    file = write(graph)
    first: dict[str, np.ndarray] = {}
    for threads in (1, 3):
        with whit.load(file, threads=threads) as model:
            for _ in range(2):  # the second run finds the first one's values in the arena
                got = model.run(feeds)
                assert list(got) == graph.outputs
                for name, value in got.items():
                    same(value, wanted[name], bound(graph, feeds, name, wanted[name]))
                    assert value.tobytes() == first.setdefault(name, value).tobytes(), f"{threads} threads differ"
    return wanted


def run_case(case: Case) -> None:
    builder = EngineBuilder(case.seed)
    outputs = case.build(builder)
    graph = builder.finish(*([outputs] if isinstance(outputs, str) else outputs))
    assert {node.op for node in graph.nodes} >= {case.op}
    run_both(graph, builder.feeds, case.bound)
