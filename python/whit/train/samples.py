"""Training data: every sample in memory once, as tensors that batches are taken from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from whit.data import Dataset, PreprocessLike, open_data
from whit.errors import CalibrationError
from whit.ir import Dim, Graph, Tensor

__all__ = ["Samples", "batched", "read_labels", "read_samples"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs by name, samples along the first axis of each.

    Attributes:
        inputs: by name. Of graphs whose inputs share a batch axis that axis; else each sample is a complete set of
            inputs, and the axis is one more than the graph has.
        stacked: the second of the two.
    """

    inputs: dict[str, Any]
    stacked: bool

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, index: Any) -> dict[str, Any]:
        """The samples of these indices."""
        return {name: values.index_select(0, index) for name, values in self.inputs.items()}

    def digest(self) -> str:
        """Of everything in it."""
        found = hashlib.sha256()
        for name, values in sorted(self.inputs.items()):
            found.update(f"{name} {tuple(values.shape)}".encode())
            found.update(values.numpy().data)
        return found.hexdigest()


def batched(graph: Graph) -> bool:
    """True if the first axis of every input counts the samples."""
    shapes = [graph.tensors[name].shape for name in graph.inputs]
    return all(shapes) and len({shape[0] for shape in shapes if shape}) == 1


def read_samples(data: Any, graph: Graph, preprocess: PreprocessLike = None) -> Samples:
    """Reads all samples for a graph.

    Args:
        data: what `whit.data.open_data` takes, or a `Dataset`. Arrays may hold any number of samples, whatever batch
            size the graph was exported with.
        graph: whose inputs the samples are for.
        preprocess: how pictures become arrays.

    Raises:
        CalibrationError: no data, or data that does not fit; the message says which sample or input.
    """
    stacked = not batched(graph)
    inputs = [graph.tensors[name] for name in graph.inputs]
    if not stacked:
        inputs = [replace(info, shape=("samples", *(info.shape or ())[1:])) for info in inputs]
    if isinstance(data, str | Path) and Path(data).suffix.lower() in (".npz", ".npy") and Path(data).is_file():
        data = _load(Path(data))
    if isinstance(data, np.ndarray | torch.Tensor) and len(inputs) == 1:
        data = {inputs[0].name: data}
    if isinstance(data, Mapping) and preprocess is None:
        return Samples(_arrays(data, inputs, stacked), stacked)
    dataset = data if isinstance(data, Dataset) else open_data(data, inputs, preprocess)
    gathered: dict[str, list[np.ndarray]] = {info.name: [] for info in inputs}
    for feeds in dataset:
        for name, parts in gathered.items():
            if name not in feeds:
                raise CalibrationError(f"data: input {name!r} is missing; got {', '.join(feeds)}")
            parts.append(feeds[name])
    if not all(gathered.values()):
        raise CalibrationError("the data set is empty: give at least one sample")
    join = np.stack if stacked else np.concatenate
    result = {}
    for name, parts in gathered.items():
        if len({part.shape[not stacked :] for part in parts}) > 1:
            raise CalibrationError(f"data, input {name!r}: samples differ in shape; training needs them all alike")
        result[name] = _tensor(join(parts))
    return Samples(result, stacked)


def _arrays(data: Mapping[str, Any], inputs: Sequence[Tensor], stacked: bool) -> dict[str, Any]:
    """Whole arrays, checked at once; one sample goes through `open_data`, whose messages these then are."""
    arrays = {name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in data.items()}
    first = {
        name: value[:1] if isinstance(value, np.ndarray) and value.ndim else value for name, value in arrays.items()
    }
    open_data(first, inputs)
    counts = {info.name: len(arrays[info.name]) for info in inputs}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise CalibrationError(f"data: inputs differ in how many samples they have ({listed})")
    for info in inputs:
        array = arrays[info.name]
        wanted: tuple[Dim, ...] = info.shape or ()
        if array.ndim != len(wanted) + stacked:
            raise CalibrationError(
                f"data, input {info.name!r}: wanted [samples, {', '.join(map(str, wanted[not stacked :]))}], "
                f"got {list(array.shape)}"
            )
        finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not finite.all():
            raise CalibrationError(f"data, input {info.name!r}: sample {int(np.argmin(finite))} holds NaN or infinity")
    return {info.name: _tensor(arrays[info.name]) for info in inputs}


def _tensor(array: np.ndarray) -> Any:
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _load(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except Exception as error:
        raise CalibrationError(f"{path}: not a readable numpy file: {error}") from error


def read_labels(labels: Any, count: int) -> Any:
    """Labels as a tensor, integers as s64 and real numbers as f32.

    Raises:
        CalibrationError: not as many as samples, or not numbers.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise CalibrationError(
            f"labels: wanted an array of numbers, one entry a sample; got {array.dtype} {array.shape}"
        )
    if len(array) != count:
        raise CalibrationError(f"labels: {len(array)} of them for {count} samples")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise CalibrationError("labels: some are NaN or infinite")
    return _tensor(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
