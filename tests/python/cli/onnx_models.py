"""Small ONNX models for the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save


def save_model(
    path: Path, op: str, inputs: dict[str, list[int | str]], output: list[int | str], **attributes: object
) -> Path:
    """One node over the inputs; a Conv gets weights [4, C, 3, 3]."""
    names = list(inputs)
    constants = []
    if op == "Conv":
        channels = int(inputs[names[0]][1])
        weights = np.linspace(-1, 1, 36 * channels, dtype=np.float32).reshape(4, channels, 3, 3)
        constants.append(numpy_helper.from_array(weights, "w"))
        names.append("w")
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], name="the_node", **attributes)],
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        constants,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
