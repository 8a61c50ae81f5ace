"""Changes graphs at random and loads and runs what the writer accepts.

    python mutation_worker.py FIRST COUNT    prints how often each exception came, as JSON

A crash ends the process; the last line on stderr then names the seed.
"""

from __future__ import annotations

import json
import math
import pathlib
import random
import sys
from collections import Counter
from typing import Any

if __name__ == "__main__":
    _HERE = pathlib.Path(__file__).parent
    sys.path[:0] = [str(_HERE), str(_HERE.parent), str(_HERE.parent / "optimize")]

import cases_elementwise
import cases_movement
import cases_products
import cases_windows
import numpy as np
from engine_graphs import EngineBuilder
from load_worker import limit_memory, load_and_run

from whit.errors import InvalidArgumentError, WhitError
from whit.format import write
from whit.ir import Graph, Node, Quantization, Tensor

INTEGERS = (0, 1, -1, 2, 3, 7, -7, 64, 2**20 + 1, 2**31 - 1, 2**31, -(2**31), 2**40, 2**62, -(2**63), 2**63 - 1)
NUMBERS = (0.0, -1.0, 0.5, 3.0, 1e-40, 1e30, 3e38, math.inf, -math.inf, math.nan)
STRINGS = (
    "",
    "nearest",
    "linear",
    "constant",
    "edge",
    "reflect",
    "hard_swish",
    "tanh",
    "forward",
    "bidirectional",
    "x",
)
DTYPES = ("f32", "s8", "u8", "s32", "s16", "f16", "b1", "s4")
SIZES = (0, 1, 2, 3, 5, 8, 100, 2**20, 2**31 - 1, "batch", "size")


def small_cases() -> list[Any]:
    cases = [*cases_products.cases(), *cases_elementwise.cases(), *cases_windows.cases(), *cases_movement.cases()]
    return [case for case in cases if not any(word in case.name for word in ("40000", "20000", "many", "large"))]


def mutate_attribute(graph: Graph, rng: random.Random) -> None:
    node = rng.choice(graph.nodes)
    if not node.attributes:
        return
    name = rng.choice(sorted(node.attributes))
    value = node.attributes[name]
    kinds: dict[type, tuple[Any, ...]] = {int: INTEGERS, float: NUMBERS, str: STRINGS}
    if not isinstance(value, list):
        node.attributes[name] = rng.choice(kinds[type(value)])
        return
    value = list(value)
    element = rng.choice(NUMBERS if name == "scales" else INTEGERS)
    change = rng.randrange(3) if value else 0
    if change == 0:
        value.insert(rng.randint(0, len(value)), element)
    elif change == 1:
        value.pop(rng.randrange(len(value)))
    else:
        value[rng.randrange(len(value))] = element
    node.attributes[name] = value


def mutate_tensor(graph: Graph, rng: random.Random) -> None:
    tensor = rng.choice(list(graph.tensors.values()))
    change = rng.randrange(4)
    if change == 0:
        tensor.dtype = rng.choice(DTYPES)
        if tensor.dtype in ("f32", "f16", "b1", "s4"):
            tensor.quantization = None
        if tensor.data is not None and tensor.dtype in ("f32", "s8", "u8", "s32", "s16", "f16"):
            kind = {"f32": "f4", "s8": "i1", "u8": "u1", "s32": "i4", "s16": "i2", "f16": "f2"}[tensor.dtype]
            with np.errstate(all="ignore"):
                tensor.data = np.nan_to_num(tensor.data).astype(kind)
    elif change == 1:
        shape = list(tensor.shape)
        at = rng.randrange(len(shape) + 1)
        if at == len(shape) or rng.random() < 0.2:
            shape.insert(at, 1)
        elif rng.random() < 0.2:
            shape.pop(at)
        else:
            shape[at] = rng.choice(SIZES)
        tensor.shape = tuple(shape)
        if tensor.data is not None:
            size = [s for s in shape if isinstance(s, int)]
            if len(size) == len(shape) and math.prod(size) < 10**6:
                tensor.data = np.resize(tensor.data, size) if tensor.data.size else np.zeros(size, tensor.data.dtype)
    elif change == 2:
        scale = rng.choice((1e-40, 1e-30, 0.01, 1.0, 3e38))
        axis = rng.choice((None, None, 0, 1))
        count = 1 if axis is None or axis >= len(tensor.shape) else tensor.shape[axis]
        if isinstance(count, int) and count < 10**6:
            zero_point = rng.choice((-128, -1, 0, 127, 300))
            tensor.quantization = Quantization(np.full(count, scale, "f4"), np.full(count, zero_point, "i4"), axis)
    else:
        tensor.quantization = None


def mutate_wiring(graph: Graph, rng: random.Random) -> None:
    node = rng.choice(graph.nodes)
    names = list(graph.tensors)
    change = rng.randrange(4)
    if change == 0:
        node.inputs[rng.randrange(len(node.inputs))] = rng.choice(["", *names])
    elif change == 1:
        node.inputs.append(rng.choice(["", *names]))
    elif change == 2 and len(node.inputs) > 1:
        node.inputs.pop()
    else:
        graph.outputs = rng.sample(names, rng.randint(1, min(3, len(names))))


def turn_input_and_constant(graph: Graph, rng: random.Random) -> None:
    """A constant becomes an input of the graph, or an input a constant."""
    tensor = rng.choice(list(graph.tensors.values()))
    if tensor.data is not None:
        tensor.data = None
        graph.inputs.append(tensor.name)
    elif (
        tensor.name in graph.inputs
        and tensor.dtype in ("f32", "s8", "s32")
        and all(isinstance(s, int) for s in tensor.shape)
    ):
        kind = {"f32": "f4", "s8": "i1", "s32": "i4"}[tensor.dtype]
        if math.prod(tensor.shape) < 10**6:
            tensor.data = np.ones(tensor.shape, kind)
            graph.inputs.remove(tensor.name)


def clone(graph: Graph) -> Graph:
    nodes = [Node(n.op, n.name, list(n.inputs), list(n.outputs), dict(n.attributes)) for n in graph.nodes]
    tensors = {t.name: Tensor(t.name, t.dtype, t.shape, t.quantization, t.data) for t in graph.tensors.values()}
    return Graph(graph.name, nodes, tensors, list(graph.inputs), list(graph.outputs))


def mutated(seed: int, cases: list[Any]) -> bytes:
    """A file that the writer let through."""
    rng = random.Random(seed)
    builder = EngineBuilder(seed)
    outputs = rng.choice(cases).build(builder)
    graph = builder.finish(*([outputs] if isinstance(outputs, str) else outputs))
    mutations = (
        mutate_attribute,
        mutate_attribute,
        mutate_tensor,
        mutate_tensor,
        mutate_wiring,
        turn_input_and_constant,
    )
    while True:
        changed = clone(graph)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            rng.choice(mutations)(changed, rng)
        try:
            return write(changed)
        except InvalidArgumentError:
            continue


def main(first: int, count: int) -> None:
    limit_memory()
    cases = small_cases()
    seen: Counter[str] = Counter()
    for seed in range(first, first + count):
        print("seed", seed, file=sys.stderr, flush=True)
        try:
            load_and_run(mutated(seed, cases), threads=1 + seed % 2)
            seen["fine"] += 1
        except (WhitError, MemoryError) as problem:
            seen[type(problem).__name__ if str(problem) else "without a text"] += 1
    print(json.dumps(seen))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
