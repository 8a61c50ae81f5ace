"""What became of each layer: the operators that do its work now, how its weights are stored, how long it takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from whit.compression.error import counterpart
from whit.compression.result import LayerReport, Report
from whit.data import Feeds
from whit.dtypes import NUMPY_DTYPES
from whit.errors import CalibrationError
from whit.ir import Graph, Node
from whit.model import Model, load

__all__ = ["Storage", "layer_nodes", "sample_feeds", "storage_of", "with_storage", "with_times"]

#: Rounds of timing, of the original and the compressed model in turns, and inferences in each.
_ROUNDS, _RUNS = 7, 3


def layer_nodes(reference: Graph, result: Graph) -> dict[str, list[Node]]:
    """The operators of `result` that compute what each operator of `reference` did, by the latter's name.

    What lies between two tensors that both graphs have belongs to the layer whose output it leads to: the factors of a
    low-rank layer, a quantisation in front. A layer that is part of another one now has none.
    """
    producers = {name: node for node in result.nodes for name in node.outputs if name}
    ends: dict[str, Node] = {}
    for node in reference.nodes:
        found = counterpart(node.output, producers)
        if found is not None:
            ends[node.name] = producers[found]
    claimed = {id(node) for node in ends.values()}
    layers: dict[str, list[Node]] = {node.name: [] for node in reference.nodes}
    for name, end in ends.items():
        waiting, own = [end], layers[name]
        while waiting:
            node = waiting.pop()
            own.append(node)
            for source in node.inputs:
                before = producers.get(source)
                if before is not None and id(before) not in claimed:
                    claimed.add(id(before))
                    waiting.append(before)
    return layers


@dataclass(frozen=True)
class Storage:
    """How the constants of some operators are stored.

    Attributes:
        stored_bytes: in the file, all constants.
        sparsity: share of zeros among the weights (constants of two axes and more); None without.
        entropy: bits for each weight that their empirical distribution needs; None without weights.
    """

    stored_bytes: int
    sparsity: float | None
    entropy: float | None


def storage_of(graph: Graph, nodes: Sequence[Node], stored: Mapping[str, int]) -> Storage:
    """`stored` says for each constant its bytes in the file."""
    names = dict.fromkeys(name for node in nodes for name in node.inputs if name and graph.constant(name) is not None)
    zeros = count = 0
    bits = 0.0
    for name in names:
        values = graph.constant(name)
        if values is None or values.ndim < 2 or not values.size:
            continue
        zeros += int(np.count_nonzero(_is_zero(graph, name, values)))
        count += values.size
        bits += values.size * _entropy(_symbols(graph, name, values))
    total = sum(stored.get(name, 0) for name in names)
    return Storage(total, zeros / count if count else None, bits / count if count else None)


def _is_zero(graph: Graph, name: str, values: np.ndarray) -> np.ndarray:
    quantization = graph.tensors[name].quantization
    if quantization is None:
        return np.asarray(values == 0)
    return np.asarray(values == quantization.spread(quantization.zero_point, values.shape))


def _symbols(graph: Graph, name: str, values: np.ndarray) -> np.ndarray:
    """What an entropy coder meets: small integers where the tensor has them, else the values."""
    codes = graph.tensors[name].codes
    return values if codes is None else codes.codes


def _entropy(symbols: np.ndarray) -> float:
    """Of the empirical distribution, in bits (Shannon 1948)."""
    _, counts = np.unique(symbols, return_counts=True)
    shares = counts / symbols.size
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def with_storage(
    report: Report, layers: Mapping[str, Sequence[Node]], reference: Graph, result: Graph, model: Model
) -> Report:
    """The report with what `model`, the file that was written, says of the constants of each of `layer_nodes`."""
    stored = {str(item["name"]): int(item["stored_bytes"]) for item in model.tensors()}
    before = {node.name: _elements(reference, node) for node in reference.nodes}
    found = []
    for layer in report.layers:
        storage = storage_of(result, layers[layer.name], stored)
        elements = before[layer.name]
        found.append(
            replace(
                layer,
                stored_bytes=storage.stored_bytes,
                bits_per_weight=round(8 * storage.stored_bytes / elements, 3) if elements else None,
                sparsity=None if storage.sparsity is None else round(storage.sparsity, 4),
                entropy=None if storage.entropy is None else round(storage.entropy, 3),
            )
        )
    return replace(report, layers=tuple(found))


def _elements(graph: Graph, node: Node) -> int:
    found = [graph.constant(name) for name in dict.fromkeys(node.inputs) if name]
    return sum(data.size for data in found if data is not None)


def with_times(
    report: Report, layers: Mapping[str, Sequence[Node]], reference: Graph, model: Model, feeds: Feeds
) -> Report:
    """The report with times of both models, and each of `layer_nodes`, on this machine, measured in turns."""
    from whit.format import write

    with load(write(reference)) as original:
        before, after = _profiles((original, model), feeds)

    def timed(layer: LayerReport) -> LayerReport:
        spent = sum(after.get(name, 0.0) for name in dict.fromkeys(node.name for node in layers[layer.name]))
        return replace(layer, ms_before=round(before.get(layer.name, 0.0), 5), ms_after=round(spent, 5))

    return replace(
        report,
        layers=tuple(timed(layer) for layer in report.layers),
        ms_before=round(sum(before.values()), 5),
        ms_after=round(sum(after.values()), 5),
    )


def _profiles(models: Sequence[Model], feeds: Feeds) -> list[dict[str, float]]:
    """Milliseconds of every operator: the best of several rounds, in which the models take turns."""
    best: list[dict[str, float]] = [{} for _ in models]
    for _ in range(_ROUNDS):
        for found, model in zip(best, models, strict=True):
            spent: dict[str, float] = defaultdict(float)
            for node in model.profile(feeds, _RUNS).nodes:
                spent[node.name] += node.ms
            for name, ms in spent.items():
                found[name] = min(ms, found.get(name, ms))
    return best


def sample_feeds(graph: Graph, first: Feeds | None = None) -> Feeds:
    """What to time a model on: the first sample of the data, else random values; an open batch size is 1.

    Raises:
        CalibrationError: there is no data, and sizes other than that of the batch are open.
    """
    if first is not None:
        return first
    rng = np.random.default_rng(0)
    feeds: Feeds = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        shape = tensor.shape or ()
        if any(not isinstance(size, int) for size in shape[1:]):
            raise CalibrationError(
                f"input {name!r} of shape {list(shape)} has open sizes; give data, or fix them with input_shapes "
                "(on the command line: --shape), to measure times"
            )
        sizes = [size if isinstance(size, int) else 1 for size in shape]
        dtype = NUMPY_DTYPES[tensor.dtype]
        if dtype.kind == "f":
            feeds[name] = rng.standard_normal(sizes, np.float32).astype(dtype)
        else:
            feeds[name] = rng.integers(0, 100, sizes).astype(dtype)
    return feeds
