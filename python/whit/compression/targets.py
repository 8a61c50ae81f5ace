"""What operators cost on a core: cycles of one thread, estimated, dense and sparse.

They rank recipes and tell whether zeros are worth it; a board says how long a model takes. What is left out: caches,
memory, several threads.

Dense, ARM: means over MobileNetV1 and V2, recipes int8 and f32, of what
`python -m bench.arm --contenders whit --models mobilenet_v1 mobilenet_v2 --breakdown 14` counts for the kernels of
each kind; docs/ARM.md says how. Dense, x86: medians over the shapes of `python -m bench kernels`
(bench/results/kernels.json) at the clock at which its peaks are those of the instructions; s8 products with VNNI, whose
cost depends most on the shape, so that both MobileNets take what bench/results/models.json says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whit._core import cpu
from whit.compression.settings import did_you_mean
from whit.errors import InvalidArgumentError
from whit.ir import PRODUCTS, Graph, Node

__all__ = ["ENTRIES", "NAMES", "TARGETS", "Sparse", "Target", "estimate_ms", "find_target", "macs", "sparse_gain"]

#: What sparse kernels can keep or leave out as one: output channels x input channels of one tap.
ENTRIES = {"element": (1, 1), "1x4": (1, 4), "4x1": (4, 1), "8x1": (8, 1)}


@dataclass(frozen=True)
class Sparse:
    """What a sparse product costs.

    Attributes:
        pixels: computed in multiples of this.
        mac: cycles for each weight of an entry and pixel, by entry (one of `ENTRIES`) and dtype of the data.
        vector: the same where there is one pixel alone; and of "dense", for each multiply-accumulate.
        layout: cycles for each element that is read and written: from pixel-major to channel-major and back, by dtype.
    """

    pixels: int
    mac: Mapping[tuple[str, str], float]
    vector: Mapping[tuple[str, str], float]
    layout: Mapping[str, float]


@dataclass(frozen=True)
class Target:
    """A core.

    Attributes:
        megahertz: of the board that is named.
        board: whose clock that is.
        mac: estimated cycles (Cortex-A53: issue slots) for each multiply-accumulate, by kind and dtype of the data.
        element: for each element that any other operator writes: what quantize_linear takes.
        sparse: of sparse products.
    """

    megahertz: float
    board: str
    mac: Mapping[tuple[str, str], float]
    element: float
    sparse: Sparse


def _by_dtype(s8: Mapping[str, float], f32: Mapping[str, float]) -> dict[tuple[str, str], float]:
    return {(kind, dtype): cost for dtype, costs in (("s8", s8), ("f32", f32)) for kind, cost in costs.items()}


#: ARM, many pixels: counted by `python -m bench.arm.spmm` (90 % zeros, n = k = 256 to 1024, 196 pixels), shared out
#: between what grows with the products and what with the pixels, the epilogue included. One pixel: the same command,
#: --sizes 1024 --pixels 1.
#: x86: fitted to `kernel_bench --filter spmm` (90 % zeros; one pixel: 1024 x 1024) at the clock of its peaks, as in
#: csrc/ops/sparse_product.cc. With VNNI single elements take blocks of four.
#: One pixel, dense, x86: bench/results/kernels.json, 1x1000x1280.
#: Blocks of output channels are single elements to kernels of one pixel of s8; to those of f32 on ARM blocks of input
#: channels are, and with one pixel 4x1.
_SPARSE: dict[str, Sparse] = {
    "cortex-a53": Sparse(
        16,
        _by_dtype(
            s8={"element": 0.58, "1x4": 0.39, "4x1": 0.42, "8x1": 0.42},
            f32={"element": 1.19, "1x4": 1.19, "4x1": 0.71, "8x1": 0.69},
        ),
        _by_dtype(
            s8={"dense": 0.36, "element": 3.7, "1x4": 1.43, "4x1": 3.7, "8x1": 3.7},
            f32={"dense": 0.84, "element": 4.7, "1x4": 4.7, "4x1": 4.7, "8x1": 2.9},
        ),
        {"s8": 1.7, "f32": 2.2},
    ),
    "cortex-a72": Sparse(
        16,
        _by_dtype(
            s8={"element": 0.22, "1x4": 0.14, "4x1": 0.19, "8x1": 0.19},
            f32={"element": 0.46, "1x4": 0.46, "4x1": 0.36, "8x1": 0.38},
        ),
        _by_dtype(
            s8={"dense": 0.145, "element": 1.39, "1x4": 0.61, "4x1": 1.39, "8x1": 1.39},
            f32={"dense": 0.26, "element": 2.07, "1x4": 2.07, "4x1": 2.07, "8x1": 1.24},
        ),
        {"s8": 1.1, "f32": 1.6},
    ),
    "cortex-a76": Sparse(
        16,
        _by_dtype(
            s8={"element": 0.165, "1x4": 0.063, "4x1": 0.092, "8x1": 0.092},
            f32={"element": 0.28, "1x4": 0.28, "4x1": 0.21, "8x1": 0.22},
        ),
        _by_dtype(
            s8={"dense": 0.048, "element": 0.86, "1x4": 0.29, "4x1": 0.86, "8x1": 0.86},
            f32={"dense": 0.13, "element": 1.44, "1x4": 1.44, "4x1": 1.44, "8x1": 1.06},
        ),
        {"s8": 1.1, "f32": 0.77},
    ),
    "x86-avx2": Sparse(
        16,
        _by_dtype(
            s8={"element": 0.115, "1x4": 0.072, "4x1": 0.086, "8x1": 0.086},
            f32={"element": 0.110, "1x4": 0.110, "4x1": 0.093, "8x1": 0.093},
        ),
        _by_dtype(
            s8={"dense": 0.062, "element": 0.65, "1x4": 0.20, "4x1": 0.65, "8x1": 0.65},
            f32={"dense": 0.41, "element": 0.70, "1x4": 0.70, "4x1": 0.60, "8x1": 0.55},
        ),
        {"s8": 0.17, "f32": 0.35},
    ),
    "x86-avx512vnni": Sparse(
        16,
        _by_dtype(
            s8={"element": 0.085, "1x4": 0.022, "4x1": 0.028, "8x1": 0.028},
            f32={"element": 0.075, "1x4": 0.075, "4x1": 0.064, "8x1": 0.064},
        ),
        _by_dtype(
            s8={"dense": 0.024, "element": 0.65, "1x4": 0.18, "4x1": 0.65, "8x1": 0.65},
            f32={"dense": 0.44, "element": 0.70, "1x4": 0.70, "4x1": 0.60, "8x1": 0.55},
        ),
        {"s8": 0.21, "f32": 0.20},
    ),
}

TARGETS: dict[str, Target] = {
    "cortex-a53": Target(
        1200,
        "Raspberry Pi 3",
        _by_dtype(s8={"dense": 0.263, "depthwise": 0.658}, f32={"dense": 0.497, "depthwise": 1.090}),
        3.1,
        _SPARSE["cortex-a53"],
    ),
    "cortex-a72": Target(
        1500,
        "Raspberry Pi 4",
        _by_dtype(s8={"dense": 0.140, "depthwise": 0.298}, f32={"dense": 0.309, "depthwise": 0.571}),
        2.3,
        _SPARSE["cortex-a72"],
    ),
    "cortex-a76": Target(
        2400,
        "Raspberry Pi 5",
        _by_dtype(s8={"dense": 0.040, "depthwise": 0.168}, f32={"dense": 0.166, "depthwise": 0.350}),
        1.3,
        _SPARSE["cortex-a76"],
    ),
    "x86-avx2": Target(
        2960,
        "the server of bench/results",
        _by_dtype(s8={"dense": 0.056, "depthwise": 0.123}, f32={"dense": 0.072, "depthwise": 0.118}),
        0.55,
        _SPARSE["x86-avx2"],
    ),
    "x86-avx512vnni": Target(
        2960,
        "the server of bench/results",
        _by_dtype(s8={"dense": 0.012, "depthwise": 0.041}, f32={"dense": 0.037, "depthwise": 0.076}),
        0.40,
        _SPARSE["x86-avx512vnni"],
    ),
}
#: What the user may ask for: this machine or a core of the table.
NAMES = ("this", *TARGETS)
#: The core whose costs are nearest to those of a level of instructions (`whit doctor`).
_NEAREST = {
    "neon": "cortex-a72",
    "neondot": "cortex-a76",
    "i8mm": "cortex-a76",
    "avx2": "x86-avx2",
    "avxvnni": "x86-avx512vnni",
    "avx512vnni": "x86-avx512vnni",
    "avx512icl": "x86-avx512vnni",
    "amx": "x86-avx512vnni",
}
#: They cost nothing.
_VIEWS = frozenset({"reshape", "squeeze", "unsqueeze"})
_PRODUCTS = PRODUCTS | {"matmul", "lstm"}


def estimate_ms(graph: Graph, target: str) -> float:
    """Milliseconds of one inference on one thread; sizes that are open count as 1."""
    core = TARGETS[target]
    cycles = 0.0
    for node in graph.nodes:
        is_f32 = graph.tensors[node.inputs[0]].dtype == "f32" and not node.attributes.get("dynamic")
        dtype = "f32" if is_f32 else "s8"
        count = macs(graph, node)
        if count:
            cycles += count * core.mac[_kind(graph, node), dtype]
        elif node.op not in _VIEWS:
            cycles += sum(_elements(graph, name) for name in node.outputs if name) * core.element
    return cycles / (core.megahertz * 1e3)


def find_target(name: str) -> str:
    """The key of `TARGETS`; of "this" that of the core nearest to this machine.

    Raises:
        InvalidArgumentError: no such target, or no table is near this machine.
    """
    if name not in NAMES:
        raise InvalidArgumentError(f"no target {name!r}{did_you_mean(name, list(NAMES))}; targets: {', '.join(NAMES)}")
    if name != "this":
        return name
    isa = cpu()["isa"]
    if isa not in _NEAREST:
        raise InvalidArgumentError(
            f"target 'this': there are no costs for CPUs of level {isa!r}; name one of {', '.join(TARGETS)}"
        )
    return _NEAREST[isa]


def sparse_gain(graph: Graph, node: Node, weights: np.ndarray, target: str, dtype: str) -> tuple[float, str]:
    """How many times fewer cycles a product takes with its zeros left out, and in which entries it does.

    Args:
        graph: holds the shapes.
        node: a conv without groups, or a gemm.
        weights: as they would be, with zeros, [O, ...].
        target: of `TARGETS`.
        dtype: of the data: "s8" or "f32".
    """
    costs, out = TARGETS[target].sparse, _pixels(graph, node.outputs[0])
    dense = weights.size * out * (costs.vector["dense", dtype] if out == 1 else TARGETS[target].mac["dense", dtype])
    there = {entry: _entries(weights, *size) * math.prod(size) for entry, size in ENTRIES.items()}
    if out == 1:
        cycles = {entry: count * costs.vector[entry, dtype] for entry, count in there.items()}
    else:
        moved = _pixels(graph, node.inputs[0]) * weights.shape[-1] + out * len(weights)
        rounded = math.ceil(out / costs.pixels) * costs.pixels
        cycles = {
            entry: count * rounded * costs.mac[entry, dtype] + moved * costs.layout[dtype]
            for entry, count in there.items()
        }
    best = min(cycles, key=lambda entry: cycles[entry])
    return (dense / cycles[best] if cycles[best] else math.inf), best


def _entries(weights: np.ndarray, height: int, width: int) -> int:
    """Blocks of output channels x input channels of one tap that are not all 0."""
    rows, channels = len(weights), weights.shape[-1]
    there = weights.reshape(rows, -1, channels) != 0
    tall = np.logical_or.reduceat(there, np.arange(0, rows, height), axis=0)
    return int(np.count_nonzero(np.logical_or.reduceat(tall, np.arange(0, channels, width), axis=2)))


def _pixels(graph: Graph, name: str) -> int:
    """Of a tensor; an open batch counts as 1, other open sizes as many."""
    shape = (graph.tensors[name].shape or (1,))[:-1]
    return math.prod(size if isinstance(size, int) else 1 if axis == 0 else 32 for axis, size in enumerate(shape))


def macs(graph: Graph, node: Node) -> int:
    """Multiply-accumulates of one operator; 0 for those that are no product."""
    if node.op not in _PRODUCTS:
        return 0
    if node.op == "lstm":
        steps = _size(graph, node.inputs[0])[0]
        return steps * sum(math.prod(_size(graph, name)) for name in node.inputs[1:3])
    weights = _size(graph, node.inputs[1])
    if node.op == "conv_transpose":
        return _elements(graph, node.inputs[0]) * math.prod(weights) // max(_size(graph, node.inputs[0])[-1], 1)
    if node.op == "matmul":
        return _elements(graph, node.outputs[0]) * _size(graph, node.inputs[0])[-1]
    return _elements(graph, node.outputs[0]) * math.prod(weights[1:])


def _kind(graph: Graph, node: Node) -> str:
    return "depthwise" if node.op == "conv" and _size(graph, node.inputs[1])[-1] == 1 and _groups(node) > 1 else "dense"


def _groups(node: Node) -> int:
    group = node.attributes.get("group", 1)
    return group if isinstance(group, int) else 1


def _size(graph: Graph, name: str) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else 1 for size in graph.tensors[name].shape or ())


def _elements(graph: Graph, name: str) -> int:
    return math.prod(_size(graph, name))
