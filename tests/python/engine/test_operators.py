"""Every operator, from the written file to the arrays, against reference.py."""

from __future__ import annotations

import cases_elementwise
import cases_movement
import cases_products
import cases_windows
import numpy as np
import pytest
from builder import quantization
from engine_graphs import Case, EngineBuilder, run_case

import whit
from whit import _core
from whit.format import write

CASES = [*cases_products.cases(), *cases_elementwise.cases(), *cases_windows.cases(), *cases_movement.cases()]

#: Operators that compute in f32 alone.
F32_ONLY = {"mat_mul", "div", "pow", "min", "max", "prelu", "reduce_sum", "softmax", "log_softmax", "lstm"} | {
    "layer_normalization"
}


@pytest.mark.parametrize("case", CASES, ids=[f"{case.op}:{case.name}" for case in CASES])
def test_operator(case: Case) -> None:
    run_case(case)


def test_every_operator_is_covered() -> None:
    operators = {entry["name"] for entry in _core.operators()}
    assert {case.op for case in CASES} == operators
    assert {case.op for case in CASES if case.is_s8} == operators - F32_ONLY


@pytest.mark.parametrize("op", sorted(F32_ONLY))
def test_no_s8_form(op: str) -> None:
    """These say what to do instead of computing nonsense."""
    real = EngineBuilder()
    attributes = {
        "reduce_sum": {"axes": [1], "keepdims": 1},
        "softmax": {"axis": 1},
        "log_softmax": {"axis": 1},
        "layer_normalization": {"axis": 1, "epsilon": 1e-5},
        "lstm": {"direction": "forward"},
    }
    shapes = {"lstm": [(3, 1, 2), (1, 8, 2), (1, 8, 2)], "layer_normalization": [(2, 2), (2,)]}
    count = next(entry["min_inputs"] for entry in _core.operators() if entry["name"] == op)
    inputs = [real.random_constant(*shape) for shape in shapes.get(op, [(2, 2)] * count)]
    inputs[0] = real.input("x", *real.values[inputs[0]].shape)
    graph = real.finish(real.node(op, *inputs, **attributes.get(op, {})))
    whit.load(write(graph), threads=1)

    for tensor in graph.tensors.values():
        tensor.dtype, tensor.quantization = "s8", quantization(0.05, 0)
        if tensor.data is not None:
            tensor.data = tensor.data.astype(np.int8)
    with pytest.raises(whit.UnsupportedOperatorError, match=rf"node '{op}0' \({op}\): .*(s8|f32)"):
        whit.load(write(graph), threads=1)
