"""A graph as a torch module: the same operators, parameters from the graph's f32 constants, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from whit.errors import InvalidArgumentError, ShapeError, UnsupportedOperatorError, WhitError
from whit.ir import WEIGHT_INPUTS, Graph, LinearCodes, Node, Tensor, verify
from whit.optimize.base import attribute_ints, clone
from whit.train.normalization import BatchNorm
from whit.train.operators import DTYPES, Operator, build, build_parts
from whit.train.rounding import scaled_codes
from whit.train.signs import reads_signs, scaled_rows
from whit.train.transforms import FakeQuantize, Palette, Signs

__all__ = ["TorchGraph"]


@dataclass
class _Step:
    """One node: what computes it, and which tensors nobody needs after it."""

    node: Node
    compute: Operator
    done: tuple[str, ...]


class TorchGraph(nn.Module):
    """Runs an f32 graph in torch, differentiably, and writes what was trained back into a graph.

    Every f32 constant of more than one element is a parameter, in the graph's layout; scalars, integers and constants
    that are quantised already stay as they are. A weight may carry transforms (`attach`): what the graph computes
    with is the parameter after all of them, in order.

    Products of what `binarize` gives scale their sums instead of their weights, as the engine does: with binary weights
    the sums are exact, and so are the signs behind them.

    Attributes:
        graph: the graph it was made of; not changed.
    """

    def __init__(self, graph: Graph, *, sign_gradient: str = "clip") -> None:
        """Builds the module.

        Args:
            graph: to run.
            sign_gradient: what passes back through `binarize`: see `whit.train.Options`.

        Raises:
            UnsupportedOperatorError: operators without f32 form; the error lists every such node.
            WhitError: the graph is not valid (`whit.ir.verify`).
        """
        super().__init__()
        verify(graph)
        self.graph = graph
        self._keys: dict[str, str] = {}
        self._constants: dict[str, str] = {}
        self.parameters_by_key = nn.ParameterDict()
        self.transforms_by_key = nn.ModuleDict()
        self._activation_keys: dict[str, str] = {}
        self.activations_by_key = nn.ModuleDict()
        self._norm_keys: dict[str, str] = {}
        self.norms_by_key = nn.ModuleDict()
        for index, tensor in enumerate(tensor for tensor in graph.tensors.values() if tensor.is_constant):
            self._add_constant(tensor, index)
        self._steps = _compile(graph, sign_gradient)

    def _add_constant(self, tensor: Tensor, index: int) -> None:
        data = _real(tensor)
        if tensor.dtype == "f32" and data.size > 1:
            self._keys[tensor.name] = f"p{index}"
            self.parameters_by_key[f"p{index}"] = nn.Parameter(torch.from_numpy(data))
        else:
            self._constants[tensor.name] = f"c{index}"
            self.register_buffer(f"c{index}", torch.from_numpy(data), persistent=False)

    # --- weights ---

    @property
    def trainable(self) -> tuple[str, ...]:
        """The names of the constants that are parameters."""
        return tuple(self._keys)

    @property
    def weights(self) -> tuple[str, ...]:
        """The names of those that are weights of convolutions, matrix products and LSTMs, in order of use."""
        found = (
            node.inputs[position]
            for node in self.graph.nodes
            for position in WEIGHT_INPUTS.get(node.op, ())
            if node.inputs[position] in self._keys
        )
        return tuple(dict.fromkeys(found))

    def users(self, name: str) -> list[str]:
        """What a recipe's pattern may call this weight: itself, its nodes and their outputs."""
        nodes = self.graph.consumers(name)
        return [name, *(node.name for node in nodes), *(output for node in nodes for output in node.outputs)]

    def parameter(self, name: str) -> Any:
        """The parameter of a constant, before its transforms.

        Raises:
            InvalidArgumentError: the graph has no such trainable constant.
        """
        return self.parameters_by_key[self._key(name)]

    def sizes(self) -> dict[Any, float]:
        """How large every parameter and palette is: the root mean square of the tensor, at least 0.01."""
        found: dict[Any, float] = {}
        for name in self._keys:
            size = max(float(self.parameter(name).detach().square().mean().sqrt()), 0.01)
            found[self.parameter(name)] = size
            found.update({each.palettes: size for each in self.transforms(name) if isinstance(each, Palette)})
        return found

    def attach(self, name: str, transform: nn.Module) -> None:
        """Adds a transform (`whit.train.transforms`) behind those that the weight has."""
        key = self._key(name)
        if key not in self.transforms_by_key:
            self.transforms_by_key[key] = nn.ModuleList()
        self.transforms_by_key[key].append(transform)

    def transforms(self, name: str) -> list[Any]:
        """The transforms of a weight, in order."""
        key = self._key(name)
        return list(self.transforms_by_key[key]) if key in self.transforms_by_key else []

    def value(self, name: str) -> Any:
        """What the graph computes with: the parameter after its transforms."""
        value = self.parameter(name)
        for transform in self.transforms(name):
            value = transform(value)
        return value

    def value_before(self, name: str, transform: nn.Module) -> Any:
        """What comes in at one of a weight's transforms."""
        value = self.parameter(name)
        for each in self.transforms(name):
            if each is transform:
                break
            value = each(value)
        return value

    def _key(self, name: str) -> str:
        if name not in self._keys:
            raise InvalidArgumentError(f"{name!r} is not a trainable constant of graph {self.graph.name!r}")
        return self._keys[name]

    # --- activations ---

    def observe(self, names: Iterable[str], module: nn.Module) -> None:
        """Sends tensors that are computed, or inputs, through `module`; all of them share it.

        Raises:
            InvalidArgumentError: no such tensor, not f32, or it has a module already.
        """
        key = f"a{len(self.activations_by_key)}"
        for name in names:
            tensor = self.graph.tensors.get(name)
            if tensor is None or tensor.is_constant or tensor.dtype != "f32" or name in self._activation_keys:
                raise InvalidArgumentError(f"{name!r} is not an f32 tensor that can be observed, or is already")
            self._activation_keys[name] = key
        self.activations_by_key[key] = module

    def activations(self) -> dict[str, Any]:
        """The modules given to `observe`, by tensor."""
        return {name: self.activations_by_key[key] for name, key in self._activation_keys.items()}

    # --- products ---

    def normalize(self, name: str, momentum: float = 0.1) -> BatchNorm:
        """Puts a batch norm between the sums of a conv or gemm and what comes after them, in place of its bias.

        `to_graph` makes it part of weights and bias.

        Raises:
            InvalidArgumentError: no such product, its weights are shared or not trained, or it has one.
        """
        step = next((step for step in self._steps if step.node.name == name), None)
        if step is None or step.node.op not in ("conv", "gemm"):
            raise InvalidArgumentError(f"{name!r} is no convolution or matrix product of graph {self.graph.name!r}")
        node = step.node
        if node.inputs[1] not in self._keys or not self.graph.is_single_use(node.inputs[1]) or name in self._norm_keys:
            raise InvalidArgumentError(
                f"node {name!r} ({node.op}) cannot be normalised: it shares its weights with others, they are not "
                "trained, or it is already"
            )
        module = BatchNorm(self.parameter(node.inputs[1]).shape[0], momentum)
        self._norm_keys[name] = f"n{len(self._norm_keys)}"
        self.norms_by_key[self._norm_keys[name]] = module
        step.compute = _product(node, module)
        return module

    def norms(self) -> dict[str, BatchNorm]:
        """The batch norms that `normalize` made, by the name of the node."""
        return {name: self.norms_by_key[key] for name, key in self._norm_keys.items()}

    # --- running ---

    def forward(self, feeds: Any, keep: Sequence[str] = ()) -> dict[str, Any]:
        """Runs the graph.

        Args:
            feeds: a tensor per input, by name, or the one input's tensor. The first axis may hold any number of
                samples where the graph allows it.
            keep: further tensors to hand out.

        Returns:
            The outputs and what `keep` names.

        Raises:
            ShapeError: shapes do not fit, in the node that the message names.
        """
        if not isinstance(feeds, Mapping):
            feeds = {self.graph.inputs[0]: feeds}
        missing = [name for name in self.graph.inputs if name not in feeds]
        if missing:
            raise InvalidArgumentError(f"input {missing[0]!r} is missing; inputs: {', '.join(self.graph.inputs)}")
        wanted = {*self.graph.outputs, *keep}
        values: dict[str, Any] = {name: getattr(self, key) for name, key in self._constants.items()}
        values.update({name: self.value(name) for name in self._keys})
        values.update({name: self._seen(name, feeds[name]) for name in self.graph.inputs})
        for step in self._steps:
            node = step.node
            try:
                results = step.compute(*(values[name] if name else None for name in node.inputs))
            except (RuntimeError, IndexError, ValueError) as error:
                if isinstance(error, WhitError):
                    raise
                shapes = ", ".join(str(tuple(values[name].shape)) for name in node.inputs if name)
                raise ShapeError(
                    f"node {node.name!r} ({node.op}) cannot compute with shapes {shapes}: {error}"
                ) from error
            results = results if isinstance(results, list) else [results]
            for name, result in zip(node.outputs, results, strict=False):
                if name:
                    values[name] = self._seen(name, result)
            for name in step.done:
                if name not in wanted:
                    values.pop(name, None)
        return {name: values[name] for name in (*self.graph.outputs, *keep)}

    def _seen(self, name: str, value: Any) -> Any:
        key = self._activation_keys.get(name)
        return value if key is None else self.activations_by_key[key](value)

    # --- back ---

    def to_graph(self) -> Graph:
        """A copy of the graph with the trained values: those that the transforms give, batch norms folded.

        The codes that rounded weights came from are kept (`Tensor.codes`); they give what is in the graph, to the bit.
        """
        graph = clone(self.graph)
        affine = {name: norm.affine() for name, norm in self.norms().items()}
        factors = {node.inputs[1]: affine[node.name][0] for node in graph.nodes if node.name in affine}
        with torch.no_grad():
            for name in self._keys:
                data, codes = self.value(name).numpy(), self._codes(name)
                if name in factors:
                    data = data * factors[name].reshape(-1, *[1] * (data.ndim - 1)) + 0.0  # no -0.0
                    codes = None if codes is None else scaled_codes(codes, factors[name])
                graph.tensors[name].data = np.array(
                    data if codes is None else codes.dequantize(), np.float32, order="C"
                )
                graph.tensors[name].codes = codes
        for node in graph.nodes:
            if node.name in affine:
                bias = graph.add_constant(f"{node.name}_bias", affine[node.name][1].astype(np.float32))
                node.inputs[2:3] = [bias]
        graph.prune()
        return graph

    def _codes(self, name: str) -> LinearCodes | None:
        for transform in self.transforms(name):
            if isinstance(transform, (FakeQuantize, Signs)) and transform.active:
                return transform.codes(self.value_before(name, transform))
        return None


def _compile(graph: Graph, sign_gradient: str) -> list[_Step]:
    """Steps in order; every node that cannot be one is named in the error."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        last.update({name: index for name in (*node.inputs, *node.outputs) if name})
    done: dict[int, list[str]] = {}
    for name, index in last.items():
        if not graph.tensors[name].is_constant:
            done.setdefault(index, []).append(name)
    steps, problems = [], []
    for index, node in enumerate(graph.nodes):
        try:
            if reads_signs(graph, node):
                compute = _product(node)
            else:
                dtype = graph.tensors[node.outputs[0]].dtype if node.outputs[0] else "f32"
                compute = build(_batched(graph, node), dtype, sign_gradient)
        except UnsupportedOperatorError as error:
            problems += [(str(error), entry) for entry in error.nodes]
            continue
        steps.append(_Step(node, compute, tuple(done.get(index, ()))))
    if problems:
        raise UnsupportedOperatorError("; ".join(text for text, _ in problems), [entry for _, entry in problems])
    return steps


def _product(node: Node, norm: BatchNorm | None = None) -> Operator:
    """A conv or gemm whose scales come after its sums, or a batch norm in place of its bias."""
    sums, finish = build_parts(node)

    def product(x: Any, w: Any, bias: Any = None, residual: Any = None) -> Any:
        if norm is not None:
            return finish(norm(sums(x, w)), residual)
        rows, scale = scaled_rows(w)
        y = sums(x, rows) * scale
        return finish(y if bias is None else y + bias, residual)

    return product


def _batched(graph: Graph, node: Node) -> Node:
    """The node for any number of samples: a reshape or expand that repeats the fixed batch size copies it instead."""
    if node.op not in ("reshape", "expand") or not graph.inputs:
        return node
    shapes = [graph.tensors[name].shape for name in (graph.inputs[0], node.inputs[0], node.outputs[0])]
    sizes = [shape[0] if shape else None for shape in shapes]
    if not isinstance(sizes[0], int) or len(set(sizes)) > 1:
        return node
    shape = attribute_ints(node, "shape")
    if len(shape) == len(shapes[2] or ()) and shape[0] == sizes[0]:
        shape[0] = 0 if node.op == "reshape" else 1
    return Node(node.op, node.name, node.inputs, node.outputs, {**node.attributes, "shape": shape})


def _real(tensor: Tensor) -> np.ndarray:
    """The data of a constant as torch computes with it; quantised weights as the real numbers they stand for."""
    assert tensor.data is not None, "constants have data"
    if tensor.quantization is None:
        if tensor.dtype not in DTYPES:
            raise UnsupportedOperatorError(
                f"constant {tensor.name!r} is {tensor.dtype}, which torch does not compute with"
            )
        return np.array(tensor.data)
    shape = [1] * tensor.data.ndim
    if tensor.quantization.axis is not None:
        shape[tensor.quantization.axis] = -1
    centred = tensor.data.astype(np.int64) - tensor.quantization.zero_point.reshape(shape)
    return np.asarray(centred.astype(np.float32) * tensor.quantization.scale.reshape(shape))
