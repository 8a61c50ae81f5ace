"""What the inputs of products look like on calibration data: second moments and means of the columns they multiply.

For a product y = W x the squared change of y under a change D of W is, on average, tr(D H D^T) with H the mean of
x x^T: the Hessian of the layer's squared error that compensated rounding (compensated.py) and data-aware low rank
(low_rank.py) work with. x is a row of a gemm's input, or the patch of pixels that one output pixel of a convolution
sees, its columns ordered as the weights' are. Of large images a seeded sample of output pixels is taken.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from whit.compression.calibrate import RunnerFactory, engine_runner
from whit.data import Dataset
from whit.errors import CalibrationError, InvalidArgumentError, RecipeError
from whit.ir import PRODUCTS, Graph, Node
from whit.optimize.base import attribute_floats, attribute_int, attribute_ints
from whit.progress import ProgressCallback, progress

__all__ = ["Moments", "chosen_positions", "columns_of", "observe_moments", "shrink"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Of the columns that the weights of one product multiply; a convolution has them for each of its groups.

    Attributes:
        hessian: mean of x x^T, f64 [groups, K, K].
        mean: mean of x, f64 [groups, K].
        count: how many x were seen.
    """

    hessian: np.ndarray
    mean: np.ndarray
    count: int

    def covariance(self) -> np.ndarray:
        """Mean of (x - mean)(x - mean)^T, f64 [groups, K, K]: what counts where the bias makes up for the mean."""
        result: np.ndarray = self.hessian - self.mean[:, :, None] * self.mean[:, None, :]
        return result

    def importance(self, shape: tuple[int, ...]) -> np.ndarray:
        """How much a squared error of each weight counts, the mean of its x^2, f64 of the weights' shape [O, ...]."""
        energy = np.diagonal(self.hessian, axis1=1, axis2=2)
        return np.repeat(energy, shape[0] // len(energy), axis=0).reshape(shape)

    def mean_output(self, weights: np.ndarray) -> np.ndarray:
        """The mean of W x without bias, f64 [O]; of a change of weights: what the bias must make up for."""
        rows = weights.reshape(len(self.mean), -1, self.mean.shape[1]).astype(np.float64)
        result: np.ndarray = np.einsum("gok,gk->go", rows, self.mean).ravel()
        return result

    def output_power(self, weights: np.ndarray) -> np.ndarray:
        """The mean of (W x)^2 without bias, f64 [O]."""
        rows = weights.reshape(len(self.mean), -1, self.mean.shape[1]).astype(np.float64)
        result: np.ndarray = np.maximum(np.einsum("gok,gok->go", rows @ self.hessian, rows).ravel(), 0.0)
        return result


def shrink(matrices: np.ndarray, count: int) -> np.ndarray:
    """Draws covariances of few samples towards their mean variance, so that what was not seen by chance is not nothing.

    The oracle approximating shrinkage of Chen et al., "Shrinkage Algorithms for MMSE Covariance Estimation", 2010,
    equation 23.

    Args:
        matrices: f64 [groups, K, K].
        count: of the samples behind each.

    Returns:
        (1 - r) S + r tr(S) / K, f64 [groups, K, K], with r from 0 (many samples) to 1 (few).
    """
    size = matrices.shape[-1]
    trace = np.trace(matrices, axis1=1, axis2=2)
    squares = np.square(matrices).sum(axis=(1, 2))
    spread = (count + 1 - 2 / size) * np.maximum(squares - trace**2 / size, 0.0)
    wanted = (1 - 2 / size) * squares + trace**2
    ratio = np.where(spread > wanted, wanted / np.where(spread > 0, spread, 1.0), 1.0)[:, None, None]
    result: np.ndarray = (1 - ratio) * matrices + ratio * (trace / size)[:, None, None] * np.eye(size)
    return result


def observe_moments(
    graph: Graph,
    layers: Sequence[str],
    data: Dataset,
    *,
    positions: int = 512,
    seed: int = 0,
    max_bytes: int = 1 << 30,
    runner: RunnerFactory = engine_runner,
    callback: ProgressCallback | None = None,
) -> dict[str, Moments]:
    """Runs the graph on the data, as often as the memory allowed makes necessary.

    Args:
        graph: f32.
        layers: names of conv, conv_transpose and gemm nodes with constant weights.
        data: calibration data.
        positions: rows or pixels taken of each sample and layer, at most.
        seed: of that choice, which depends on nothing else but the layer's name and the number of the sample.
        max_bytes: of moments held at a time.
        runner: makes what runs the graph.
        callback: of progress.

    Returns:
        Layer -> moments.

    Raises:
        InvalidArgumentError: a name is no such node, or its input is not f32.
        CalibrationError: an input becomes NaN or infinite, a layer never gets any, or one layer needs more than
            `max_bytes`.
        RecipeError: positions below 1.
    """
    if positions < 1:
        raise RecipeError(f"covariance: positions must be at least 1; got {positions!r}")
    nodes = {node.name: node for node in graph.nodes}
    chosen: list[Node] = []
    for name in dict.fromkeys(layers):
        node = nodes.get(name)
        if node is None or node.op not in PRODUCTS or graph.constant(node.inputs[1]) is None:
            raise InvalidArgumentError(
                f"layer {name!r}: moments are taken of conv, conv_transpose and gemm nodes with constant weights; "
                "this is none"
            )
        if graph.tensors[node.inputs[0]].dtype != "f32":
            raise InvalidArgumentError(f"layer {name!r}: its input is not f32; observe the model before quantisation")
        chosen.append(node)
    result: dict[str, Moments] = {}
    for batch in _batches(graph, chosen, max_bytes):
        result.update(_observe(graph, batch, data, positions, seed, runner, callback))
    return result


def columns_of(graph: Graph, node: Node, values: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
    """What the weights of a product multiply, f32 [groups, positions, K].

    Args:
        graph: holds the weights.
        node: a conv, conv_transpose or gemm.
        values: its input.
        chosen: indices of output positions (batch and pixels, flattened); None: all.
    """
    if node.op == "gemm":
        rows = values.reshape(-1, values.shape[-1])
        return (rows if chosen is None else rows[chosen])[None]
    weights = graph.constant(node.inputs[1])
    assert weights is not None, "checked by the caller"
    kernel, group = weights.shape[1:-1], attribute_int(node, "group", 1)
    strides, dilations, pads = (attribute_ints(node, name) for name in ("strides", "dilations", "pads"))
    if node.op == "conv_transpose":
        values = _spread(values, strides)
    out = _output_sizes(node, values.shape[1:-1], kernel)
    if chosen is None:
        chosen = np.arange(len(values) * int(np.prod(out)))
    sample, *pixel = np.unravel_index(chosen, (len(values), *out))
    begins, ends, places = [], [], []
    for axis, size in enumerate(kernel):
        taps = np.arange(size) * dilations[axis]
        if node.op == "conv":
            begin, end = pads[axis], pads[len(kernel) + axis]
            where = pixel[axis][:, None] * strides[axis] + taps
        else:  # output p meets input p - tap
            begin, end = int(taps[-1]), int(taps[-1]) + out[axis]
            where = pixel[axis][:, None] + pads[axis] + begin - taps
        begins.append(begin)
        ends.append(end)
        places.append(where.reshape(len(chosen), *[size if other == axis else 1 for other in range(len(kernel))]))
    around = np.asarray(attribute_floats(node, "pad_values") or [0.0], np.float32)
    sizes = [begin + size + end for begin, size, end in zip(begins, values.shape[1:-1], ends, strict=True)]
    padded = np.empty((len(values), *sizes, values.shape[-1]), np.float32)
    padded[:] = around
    inside = [slice(begin, begin + size) for begin, size in zip(begins, values.shape[1:-1], strict=True)]
    padded[(slice(None), *inside)] = values
    patches = padded[(sample.reshape(-1, *[1] * len(kernel)), *places)]
    split = patches.reshape(len(chosen), -1, group, values.shape[-1] // group)
    result: np.ndarray = split.transpose(2, 0, 1, 3).reshape(group, len(chosen), -1)
    return result


def chosen_positions(
    graph: Graph, node: Node, values: np.ndarray, positions: int, seed: int, sample: int
) -> np.ndarray | None:
    """At most so many of a layer's output positions, ascending, at random; None: all of them."""
    there = _positions(graph, node, values)
    if there <= positions:
        return None
    rng = np.random.default_rng([seed, zlib.crc32(node.name.encode()), sample])
    return np.sort(rng.choice(there, positions, replace=False))


def _spread(values: np.ndarray, strides: Sequence[int]) -> np.ndarray:
    """Puts stride - 1 zeros between the pixels."""
    sizes = [(size - 1) * stride + 1 for size, stride in zip(values.shape[1:-1], strides, strict=True)]
    result = np.zeros((len(values), *sizes, values.shape[-1]), np.float32)
    result[(slice(None), *(slice(None, None, stride) for stride in strides))] = values
    return result


def _output_sizes(node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """Of the (spread) input's spatial sizes."""
    dilations, pads = attribute_ints(node, "dilations"), attribute_ints(node, "pads")
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    padding = [pads[axis] + pads[len(kernel) + axis] for axis in range(len(kernel))]
    if node.op == "conv":
        strides = attribute_ints(node, "strides")
        return [(sizes[a] + padding[a] - spans[a]) // strides[a] + 1 for a in range(len(kernel))]
    extra = attribute_ints(node, "output_padding")
    return [sizes[a] + spans[a] - 1 + extra[a] - padding[a] for a in range(len(kernel))]


def _positions(graph: Graph, node: Node, values: np.ndarray) -> int:
    """How many outputs (without channels) a product has."""
    if node.op == "gemm":
        return int(np.prod(values.shape[:-1]))
    weights = graph.constant(node.inputs[1])
    assert weights is not None, "checked by the caller"
    sizes: Sequence[int] = values.shape[1:-1]
    if node.op == "conv_transpose":
        sizes = [(size - 1) * stride + 1 for size, stride in zip(sizes, attribute_ints(node, "strides"), strict=True)]
    return len(values) * int(np.prod(_output_sizes(node, sizes, weights.shape[1:-1])))


def _shape(graph: Graph, node: Node) -> tuple[int, int]:
    """Groups and columns."""
    weights = graph.constant(node.inputs[1])
    assert weights is not None, "checked by the caller"
    return (1 if node.op == "gemm" else attribute_int(node, "group", 1)), weights[0].size


def _batches(graph: Graph, nodes: Sequence[Node], max_bytes: int) -> Iterator[list[Node]]:
    """Nodes whose moments fit into memory together, in order."""
    batch: list[Node] = []
    held = 0
    for node in nodes:
        groups, columns = _shape(graph, node)
        wanted = groups * columns * columns * 8
        if wanted > max_bytes:
            raise CalibrationError(
                f"layer {node.name!r}: the covariance of its {columns} columns takes {wanted / 1e6:.0f} MB, "
                f"{max_bytes / 1e6:.0f} MB are allowed; allow more or leave the layer out"
            )
        if batch and held + wanted > max_bytes:
            yield batch
            batch, held = [], 0
        batch.append(node)
        held += wanted
    if batch:
        yield batch


def _observe(
    graph: Graph,
    nodes: Sequence[Node],
    data: Dataset,
    positions: int,
    seed: int,
    runner: RunnerFactory,
    callback: ProgressCallback | None,
) -> dict[str, Moments]:
    known = {*graph.inputs, *graph.outputs}
    session = runner(graph, list(dict.fromkeys(node.inputs[0] for node in nodes if node.inputs[0] not in known)))
    squares = {node.name: np.zeros((groups, k, k)) for node in nodes for groups, k in [_shape(graph, node)]}
    sums = {node.name: np.zeros((groups, k)) for node in nodes for groups, k in [_shape(graph, node)]}
    counts = dict.fromkeys(squares, 0)
    for index, feeds in enumerate(progress(data, len(data), "calibrate: covariance", callback)):
        results: Mapping[str, np.ndarray] = session.run(feeds)
        for node in nodes:
            source = node.inputs[0]
            values = feeds[source] if source in feeds else results[source]
            if not np.isfinite(values).all():
                raise CalibrationError(
                    f"sample {index}: tensor {source!r}, the input of layer {node.name!r}, becomes NaN or infinite; "
                    "check the sample and its preprocessing"
                )
            columns = columns_of(graph, node, values, chosen_positions(graph, node, values, positions, seed, index))
            squares[node.name] += columns.transpose(0, 2, 1) @ columns
            sums[node.name] += columns.sum(axis=1, dtype=np.float64)
            counts[node.name] += columns.shape[1]
    for name, count in counts.items():
        if count == 0:
            raise CalibrationError(f"layer {name!r}: its input is empty on all {len(data)} samples")
    return {name: Moments(squares[name] / count, sums[name] / count, count) for name, count in counts.items()}
