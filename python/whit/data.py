"""Calibration and evaluation data: whatever a user has, as feeds that a model takes.

`open_data` accepts a folder of pictures or .npy files, an NPZ, arrays, or anything that yields feeds, checks every
sample before a model sees it, and says which one is wrong.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from whit.dtypes import NUMPY_DTYPES
from whit.errors import CalibrationError, InvalidArgumentError
from whit.preprocess import IMAGE_SUFFIXES, Preprocess

__all__ = ["Dataset", "Feeds", "InputInfo", "PreprocessLike", "open_data", "resolve_preprocess"]

#: One run's inputs by name.
Feeds = dict[str, np.ndarray]
PreprocessLike = Preprocess | str | Mapping[str, Any] | None

_HOW_TO_GIVE = (
    "give data= a folder of pictures or .npy files, an .npz file with arrays named after the inputs, "
    "an array, or an iterable of feeds (on the command line: --data DIR|NPZ)"
)


class InputInfo(Protocol):
    """What has to be known about an input; `whit.Model.inputs` and tensors of a graph have it."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> Sequence[int | str] | None: ...


@dataclass(frozen=True)
class Dataset:
    """Feeds that can be counted and gone through again and again, always in the same order."""

    count: int
    _open: Callable[[], Iterator[Feeds]]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Feeds]:
        return self._open()

    def take(self, count: int) -> Dataset:
        """`count` samples spread evenly over the set (all, if it has fewer)."""
        if count >= self.count:
            return self
        wanted = {index * self.count // count for index in range(count)}
        return Dataset(count, lambda: (feeds for index, feeds in enumerate(self._open()) if index in wanted))


def open_data(source: Any, inputs: Sequence[InputInfo], preprocess: PreprocessLike = None) -> Dataset:
    """Opens data for a model with these inputs.

    Args:
        source: one of
            a folder: its pictures and .npy files, sorted by name, one sample each (models with one input);
            a path to an .npz file or a mapping of arrays, named after the inputs, samples along the first axis;
            a path to an .npy file or an array (models with one input);
            a list, another iterable, or a function that returns one, of feeds (dicts) or arrays.
            Stored arrays of the input's rank are cut along their first axis into pieces of the model's batch size (1 if
            that is open); arrays of one rank more hold one complete input per index. A .npy file in a folder may lack
            the batch axis.
        inputs: name, dtype and shape of the model's inputs; a str in a shape stands for any size.
        preprocess: how pictures become arrays: a `Preprocess`, its text form, or a dict of one per input name (objects,
            text, or dicts as in a file's metadata). It also applies to u8 arrays [N, H, W(, C)] given for an f32 input.

    Returns:
        The feeds, each checked for names, shapes, dtypes, NaN and infinity as it is read.

    Raises:
        CalibrationError: nothing given, nothing usable found, or an array that does not fit its input. Problems of
            single samples are raised while iterating.
    """
    reader = _Reader(inputs, resolve_preprocess(preprocess, inputs))
    if source is None:
        raise CalibrationError(f"no data: {_HOW_TO_GIVE}")
    if isinstance(source, (str, os.PathLike)):
        dataset = _open_path(Path(source), reader)
    elif isinstance(source, Mapping):
        dataset = _open_arrays(dict(source), reader, "data")
    elif isinstance(source, np.ndarray):
        dataset = _open_arrays({reader.only_input("an array").name: source}, reader, "data")
    elif callable(source) or isinstance(source, Iterable):
        dataset = _open_iterable(source, reader)
    else:
        raise CalibrationError(f"cannot read data from {type(source).__name__}: {_HOW_TO_GIVE}")
    if len(dataset) == 0:
        raise CalibrationError(f"the data set is empty: {_HOW_TO_GIVE}")
    return dataset


def resolve_preprocess(preprocess: PreprocessLike, inputs: Sequence[InputInfo]) -> dict[str, Preprocess]:
    """One `Preprocess` per input name, from what `open_data` accepts.

    Raises:
        InvalidArgumentError: one for an input that the model does not have, or not one per input where it has several.
    """
    if preprocess is None:
        return {}
    names = [info.name for info in inputs]
    if isinstance(preprocess, (Preprocess, str)):
        if len(names) != 1:
            raise InvalidArgumentError(
                f"preprocess: the model has {len(names)} inputs; give a dict of input name to preprocess "
                f"(inputs: {', '.join(names)})"
            )
        preprocess = {names[0]: preprocess}
    result: dict[str, Preprocess] = {}
    for name, value in preprocess.items():
        if name not in names:
            raise InvalidArgumentError(f"preprocess: no input {name!r}; inputs: {', '.join(names)}")
        if isinstance(value, str):
            value = Preprocess.parse(value)
        result[name] = value if isinstance(value, Preprocess) else Preprocess.from_dict(value)
    return result


class _Reader:
    """Checks and completes arrays for the inputs of one model."""

    def __init__(self, inputs: Sequence[InputInfo], preprocess: dict[str, Preprocess]) -> None:
        self.inputs = {info.name: info for info in inputs}
        self.preprocess = preprocess

    def only_input(self, what: str) -> InputInfo:
        if len(self.inputs) != 1:
            raise CalibrationError(
                f"{what} works for models with one input; this one has {len(self.inputs)}: {', '.join(self.inputs)}. "
                "Give an .npz file or a dict with one array per input"
            )
        return next(iter(self.inputs.values()))

    def names(self, given: Iterable[Any], where: str) -> None:
        """`given` must be exactly the inputs' names."""
        given = list(given)
        missing = [name for name in self.inputs if name not in given]
        extra = [str(name) for name in given if name not in self.inputs]
        if missing or extra:
            problem = f"input {missing[0]!r} is missing" if missing else f"{extra[0]!r} is not an input"
            raise CalibrationError(
                f"{where}: {problem}; expected {', '.join(self.inputs)}; got {', '.join(map(str, given)) or 'nothing'}"
            )

    def check_kind(self, info: InputInfo, array: np.ndarray, where: str) -> None:
        """Dtype and shape must be the input's."""
        where = f"{where}, input {info.name!r}"
        wanted = NUMPY_DTYPES[info.dtype]
        if array.dtype.newbyteorder("<") != wanted:
            hint = f"convert it with .astype(numpy.{wanted.name})"
            if array.dtype == np.uint8 and info.dtype == "f32":
                hint = "give preprocess= for pictures, or " + hint
            if array.dtype.kind == "f" and info.dtype == "u8":
                hint = "give pictures: files, or their pixels as u8 [N, H, W, C], 0..255"
            raise CalibrationError(f"{where}: wanted {info.dtype}, got {array.dtype}; {hint}")
        if info.shape is not None and not _fits(array.shape, info.shape):
            raise CalibrationError(f"{where}: wanted shape {_text(info.shape)}, got {_text(array.shape)}")
        if 0 in array.shape:
            raise CalibrationError(f"{where}: shape {_text(array.shape)} holds no values")

    def check(self, info: InputInfo, array: np.ndarray, where: str) -> np.ndarray:
        """`array` as the input takes it, or a CalibrationError."""
        self.check_kind(info, array, where)
        if array.dtype.kind == "f":
            finite = np.isfinite(array)
            if not finite.all():
                place = [int(axis[0]) for axis in np.nonzero(~finite)]
                raise CalibrationError(
                    f"{where}, input {info.name!r}: {array[tuple(place)]} at {place}; calibration needs finite values"
                )
        return np.asarray(array, NUMPY_DTYPES[info.dtype], order="C")

    def prepared(self, info: InputInfo, value: Any, where: str) -> np.ndarray:
        """One sample without batch axis made from a picture."""
        if info.name not in self.preprocess:
            raise CalibrationError(
                f"{where}: pictures need preprocess=, for instance 'imagenet' or "
                "'resize=256,crop=224,scale=1/255,mean=...,std=...' (on the command line: --preprocess)"
            )
        try:
            return self.preprocess[info.name].apply(value)
        except InvalidArgumentError as error:
            raise CalibrationError(f"{where}: {error}") from error

    def takes_pixels(self, info: InputInfo, array: np.ndarray) -> bool:
        """True for raw pixels, which go through preprocess; other arrays are fed as they are."""
        if info.name not in self.preprocess or array.dtype != np.uint8:
            return False
        fixed = info.shape is not None and all(isinstance(size, int) for size in info.shape[1:])
        # An input of u8 takes pictures of its own size without more ado.
        return not (info.dtype == "u8" and fixed and array.shape[-3:] == tuple(info.shape or ())[1:])

    def rows(self, info: InputInfo, value: Any, where: str) -> np.ndarray:
        """A picture or an array as what the input takes, unchecked; a missing batch axis is added."""
        if isinstance(value, np.ndarray) and not self.takes_pixels(info, value):
            return value[None] if info.shape is not None and value.ndim == len(info.shape) - 1 else value
        if isinstance(value, np.ndarray) and value.ndim == 4:
            return np.stack([self.prepared(info, one, where) for one in value])
        return self.prepared(info, value, where)[None]

    def feeds(self, item: Any, where: str) -> Feeds:
        """Checked feeds from what an iterable yields."""
        if not isinstance(item, Mapping):
            item = {self.only_input("an iterable of arrays").name: item}
        self.names(item, where)
        result: Feeds = {}
        for info in self.inputs.values():
            value = item[info.name]
            if not isinstance(value, (np.ndarray, str, bytes, os.PathLike)) and not hasattr(value, "convert"):
                # Tensors of frameworks say how they become arrays; lists and numbers have no dtype to hold them to.
                if not hasattr(value, "__array__"):
                    raise CalibrationError(
                        f"{where}, input {info.name!r}: wanted an array or a picture, got {type(value).__name__}"
                    )
                value = np.asarray(value)
            result[info.name] = self.check(info, self.rows(info, value, where), where)
        return result


def _open_path(path: Path, reader: _Reader) -> Dataset:
    if path.is_dir():
        return _open_folder(path, reader)
    if not path.exists():
        raise CalibrationError(f"{path}: no such file or folder; {_HOW_TO_GIVE}")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _open_arrays(_load(path), reader, str(path))
    if suffix == ".npy":
        return _open_arrays({reader.only_input("an .npy file").name: _load(path)}, reader, str(path))
    if suffix in IMAGE_SUFFIXES:
        reader.only_input("a picture")
        return Dataset(1, lambda: iter([reader.feeds(path, str(path))]))
    raise CalibrationError(f"{path}: neither a folder, nor .npz, .npy or a picture; {_HOW_TO_GIVE}")


def _open_folder(folder: Path, reader: _Reader) -> Dataset:
    info = reader.only_input("a folder")
    usable = IMAGE_SUFFIXES | {".npy"}
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in usable and not path.name.startswith(".") and path.is_file()
    )
    if not paths:
        raise CalibrationError(f"{folder}: holds no pictures and no .npy files ({', '.join(sorted(usable))})")
    pictures = [path for path in paths if path.suffix.lower() != ".npy"]
    if pictures and info.name not in reader.preprocess:
        reader.prepared(info, pictures[0], str(pictures[0]))  # raises

    def load(path: Path) -> np.ndarray:
        return reader.rows(info, _load(path) if path.suffix.lower() == ".npy" else path, str(path))

    batch = _batch(info)
    count = _batches(len(paths), batch, str(folder))

    def feeds() -> Iterator[Feeds]:
        for start in range(0, count * batch, batch):
            group = paths[start : start + batch]
            where = ", ".join(map(str, group))
            rows = [load(path) for path in group]
            if len({row.shape[1:] for row in rows}) > 1:
                raise CalibrationError(f"{where}: samples of one batch differ in shape")
            yield {info.name: reader.check(info, np.concatenate(rows) if batch > 1 else rows[0], where)}

    return Dataset(count, feeds)


def _open_arrays(arrays: dict[str, Any], reader: _Reader, where: str) -> Dataset:
    reader.names(arrays, where)
    counts: dict[str, int] = {}
    for name, info in reader.inputs.items():
        array = arrays[name]
        if not isinstance(array, np.ndarray):
            raise CalibrationError(f"{where}, input {name!r}: wanted an array, got {type(array).__name__}")
        if array.ndim == 0:
            raise CalibrationError(f"{where}, input {name!r}: has no axis of samples")
        step = _step(reader, info, array)
        counts[name] = _batches(len(array), step, f"{where}, input {name!r}")
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise CalibrationError(f"{where}: inputs differ in how many samples they have ({listed})")
    count = next(iter(counts.values()))
    for info in reader.inputs.values():
        if count and not reader.takes_pixels(info, arrays[info.name]):
            # The whole array has one dtype and shape: say so before a long calibration, not in it.
            reader.check_kind(info, _piece(reader, info, arrays[info.name], 0), where)

    def feeds() -> Iterator[Feeds]:
        for index in range(count):
            sample = f"{where}, sample {index}"
            yield {
                info.name: reader.check(info, _piece(reader, info, arrays[info.name], index), sample)
                for info in reader.inputs.values()
            }

    return Dataset(count, feeds)


def _open_iterable(source: Any, reader: _Reader) -> Dataset:
    if not callable(source) and iter(source) is source:
        source = list(source)  # it can be gone through once only
    produce: Callable[[], Iterable[Any]] = source if callable(source) else lambda: source

    def feeds() -> Iterator[Feeds]:
        for index, item in enumerate(produce()):
            yield reader.feeds(item, f"sample {index}")

    sized = not callable(source) and hasattr(source, "__len__")
    count = len(source) if sized else sum(1 for _ in produce())
    return Dataset(count, feeds)


def _load(path: Path) -> Any:
    """The array of an .npy file, or the arrays of an .npz file."""
    try:
        # numpy leaves a file of its own open when it fails.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise CalibrationError(f"{path}: not a readable numpy file: {error}") from error


def _batch(info: InputInfo) -> int:
    """How many samples one run takes; 1 where that is open."""
    first = info.shape[0] if info.shape else 1
    return first if isinstance(first, int) and first > 0 else 1


def _step(reader: _Reader, info: InputInfo, array: np.ndarray) -> int:
    """How many indices of the first axis one run takes."""
    whole = info.shape is not None and array.ndim == len(info.shape) + 1
    return 1 if whole and not reader.takes_pixels(info, array) else _batch(info)


def _piece(reader: _Reader, info: InputInfo, array: np.ndarray, index: int) -> np.ndarray:
    """What run `index` takes of an array of samples."""
    if reader.takes_pixels(info, array):
        step = _batch(info)
        rows = array[index * step : (index + 1) * step]
        return np.stack([reader.prepared(info, row, f"sample {index}") for row in rows])
    if info.shape is not None and array.ndim == len(info.shape) + 1:
        piece: np.ndarray = array[index]
        return piece
    step = _batch(info)
    return array[index * step : (index + 1) * step]


def _batches(samples: int, batch: int, where: str) -> int:
    if samples == 0:
        raise CalibrationError(f"{where}: the data set is empty")
    if samples % batch:
        raise CalibrationError(f"{where}: {samples} samples do not fill batches of {batch}, which the model takes")
    return samples // batch


def _fits(shape: Sequence[int], wanted: Sequence[int | str]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(want, str) or want == got for got, want in zip(shape, wanted, strict=True)
    )


def _text(shape: Sequence[int | str]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
