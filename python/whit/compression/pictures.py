"""Inputs that take a picture as it is: u8 [N, H, W, C], without arithmetic in front of the model.

What the preprocessing would compute per channel, (pixel * scale - mean) / std, goes into the weights and bias of the
convolution that reads it (optimize/fold_input_affine.py), whose padding then holds mean / scale: the pixel that becomes
0. Bytes are s8 but for their topmost bit, so an integer convolution reads them with scale 1 and zero point -128. Its
weights are rounded after folding, so the only thing that is less exact than before is the padding, rounded to a whole
pixel value. In a model that stays f32 nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from whit.errors import InvalidArgumentError, RecipeError
from whit.ir import Graph, Node, Quantization, Tensor
from whit.optimize import optimize
from whit.optimize.base import clone
from whit.optimize.layout_rules import channels_first
from whit.preprocess import Preprocess

__all__ = ["METADATA_KEY", "decode_pictures", "encode_pictures", "pixel_quantization", "take_pictures"]

#: Where a file says what was folded: input name -> keys of the preprocessing.
METADATA_KEY = "pictures"
_KEPT = ("channels", "scale", "mean", "std", "layout")


def take_pictures(graph: Graph, preprocess: Mapping[str, Preprocess]) -> Graph:
    """An optimised copy of an optimised f32 graph whose inputs named in `preprocess` are u8 [N, H, W, C].

    Raises:
        RecipeError: no preprocessing, one that does not give f32, or an input that is read by something else than one
            convolution.
    """
    if not preprocess:
        raise RecipeError(
            "recipe: inputs 'u8' needs the preprocessing to fold into the model: give preprocess=, for instance "
            "'imagenet' or 'scale=1/255,mean=...,std=...' (on the command line: --preprocess)"
        )
    graph = clone(graph)
    for name, steps in preprocess.items():
        _prepend(graph, name, steps)
    graph = optimize(graph)
    for name in preprocess:
        _check(graph, name)
    return graph


def encode_pictures(preprocess: Mapping[str, Preprocess]) -> dict[str, object]:
    """What `take_pictures` needs, JSON-ready."""
    return {name: {key: steps.to_dict()[key] for key in _KEPT} for name, steps in preprocess.items()}


def decode_pictures(stored: object) -> dict[str, Preprocess]:
    """The reverse; what is not understood is left out."""
    result: dict[str, Preprocess] = {}
    for name, values in stored.items() if isinstance(stored, Mapping) else ():
        try:
            result[str(name)] = Preprocess.from_dict(values)
        except InvalidArgumentError:
            continue
    return result


def pixel_quantization(graph: Graph, tensor: str) -> Quantization | None:
    """The quantisation of what `tensor` is the real value of, where that is integers already: pixels."""
    producer = graph.producer(tensor)
    if producer is None or producer.op != "dequantize_linear":
        return None
    return graph.tensors[producer.inputs[0]].quantization


def _prepend(graph: Graph, name: str, steps: Preprocess) -> None:
    """Input u8 -> s8 -> f32 pixels -> what the model took so far."""
    old = graph.tensors[name]
    shape = old.shape
    if old.dtype != "f32" or shape is None or len(shape) != 4 or name in graph.outputs:
        raise RecipeError(f"recipe: inputs 'u8' is for f32 inputs of four axes; {name!r} is {old.dtype} {shape}")
    if steps.dtype != "f32":
        raise RecipeError(f"recipe: the preprocessing of {name!r} gives {steps.dtype}; to be folded it must give f32")
    planar = steps.layout == "NCHW"
    size = shape[1] if planar else shape[3]
    if size != steps.count:
        raise RecipeError(
            f"recipe: {name!r} has shape {list(shape)}, not {steps.count} channels ({steps.channels}) in {steps.layout}"
        )
    pixels = (shape[0], shape[2], shape[3], shape[1]) if planar else shape
    nodes: list[Node] = []

    def add(op: str, hint: str, inputs: list[str], dtype: str = "f32", zero_point: int | None = None) -> str:
        quantization = None if zero_point is None else _whole_steps(zero_point)
        output = graph.add_tensor(Tensor(graph.fresh_name(hint), dtype, pixels, quantization))
        nodes.append(Node(op, output, inputs, [output]))
        return output

    graph.tensors[name] = Tensor(name, "u8", pixels, _whole_steps(0))
    integers = add("requantize", f"{name}_s8", [name], "s8", -128)
    real = add("dequantize_linear", f"{name}_pixels", [integers])
    factor, term = steps.affine()
    if (factor != 1).any():
        real = add("mul", f"{name}_scaled", [real, graph.add_constant(f"{name}_scale", factor.astype(np.float32))])
    if term.any():
        real = add("add", f"{name}_shifted", [real, graph.add_constant(f"{name}_shift", term.astype(np.float32))])
    before = list(graph.nodes)
    if planar:
        output = graph.add_tensor(Tensor(graph.fresh_name(f"{name}_f32"), "f32", shape))
        nodes.append(Node("transpose", output, [real], [output], {"perm": list(channels_first(4))}))
        real = output
    for node in before:
        node.inputs = [real if other == name else other for other in node.inputs]
    graph.nodes[:0] = nodes


def _whole_steps(zero_point: int) -> Quantization:
    return Quantization(np.ones(1, np.float32), np.array([zero_point], np.int32))


def _check(graph: Graph, name: str) -> None:
    """The pixels must have arrived at convolutions."""
    reached = {name}
    for node in graph.nodes:
        if node.inputs[0] not in reached:
            continue
        if node.op in ("requantize", "dequantize_linear"):
            reached.update(node.outputs)
        elif node.op != "conv":
            raise RecipeError(
                f"recipe: inputs 'u8' needs an input that one convolution alone reads; {name!r} is read by "
                f"{node.op} {node.name!r} as well or instead"
            )
