"""Inputs of a model from files that the user names, or random ones."""

from __future__ import annotations

import argparse
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whit.cli.common import Array, shape_text
from whit.dtypes import NUMPY_DTYPES
from whit.errors import FileError, FormatError, InvalidArgumentError
from whit.model import Model, TensorInfo
from whit.preprocess import IMAGE_SUFFIXES, Preprocess

__all__ = ["add_inputs", "add_shape", "feeds_of", "parse_shapes", "random_feeds", "read_feeds"]

_KINDS = ".npy, .npz or a picture"


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """`--input` and `--shape` of verbs that can run on random values."""
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help=f"{_KINDS}, once for each input (default: random values)",
    )
    add_shape(parser, "sizes of random inputs where the file leaves them open (default: a batch of 1)")


def add_shape(parser: argparse.ArgumentParser, text: str) -> None:
    """`--shape NAME=1x3x224x224`."""
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1x3x224x224", help=text)


def feeds_of(model: Model, arguments: argparse.Namespace) -> dict[str, Array]:
    """What the options of `add_inputs` say."""
    if arguments.input and arguments.shape:
        raise InvalidArgumentError("--shape is for random inputs; leave it out where --input gives files")
    return read_feeds(model, arguments.input) if arguments.input else random_feeds(model, arguments.shape)


def read_feeds(model: Model, arguments: Sequence[str]) -> dict[str, Array]:
    """Arrays for all inputs from `FILE` or `NAME=FILE` arguments.

    A picture goes through the preprocessing that is stored in the model's file. A .npy file is taken as it is, with a
    batch axis of 1 added if it lacks one. An .npz file without name holds one array for each input.

    Raises:
        FileError, FormatError: a file that is not there or cannot be decoded.
        InvalidArgumentError: names that do not fit the model.
    """
    by_name = {info.name: info for info in model.inputs}
    feeds: dict[str, Array] = {}
    for argument in arguments:
        for name, value in _read_argument(argument, by_name, model.metadata).items():
            if name in feeds:
                raise InvalidArgumentError(f"--input {argument}: input {name!r} is given twice")
            feeds[name] = value
    missing = [name for name in by_name if name not in feeds]
    if missing:
        raise InvalidArgumentError(f"input {missing[0]!r} is missing: give --input {missing[0]}=FILE")
    return feeds


def _read_argument(argument: str, infos: Mapping[str, TensorInfo], metadata: Mapping[str, Any]) -> dict[str, Array]:
    name, equals, file = argument.partition("=")
    if equals and name in infos:
        return {name: _read_input(infos[name], Path(file), metadata)}
    path = Path(argument)
    if equals and not path.exists():
        raise InvalidArgumentError(f"--input {argument}: the model has no input {name!r}; inputs: {', '.join(infos)}")
    if path.suffix.lower() == ".npz":
        arrays = _load(path)
        if set(arrays) != set(infos):
            raise InvalidArgumentError(
                f"{path}: holds {', '.join(arrays) or 'nothing'}; wanted one array for each input: {', '.join(infos)}"
            )
        return {key: _with_batch(infos[key], array) for key, array in arrays.items()}
    if len(infos) != 1:
        raise InvalidArgumentError(
            f"--input {argument}: the model has {len(infos)} inputs; "
            f"give NAME=FILE for each ({', '.join(infos)}) or one .npz"
        )
    (info,) = infos.values()
    return {info.name: _read_input(info, path, metadata)}


def _read_input(info: TensorInfo, path: Path, metadata: Mapping[str, Any]) -> Array:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _with_batch(info, _load(path))
    _check_file(path)
    if suffix not in IMAGE_SUFFIXES:
        raise InvalidArgumentError(f"{path}: wanted {_KINDS} ({', '.join(sorted(IMAGE_SUFFIXES))})")
    stored = metadata.get("preprocess", {}).get(info.name)
    if stored is None:
        raise InvalidArgumentError(
            f"{path}: the .whit file does not say how pictures become input {info.name!r}; "
            "compress with --preprocess, or give a .npy file"
        )
    return _with_batch(info, Preprocess.from_dict(stored).apply(path))


def _with_batch(info: TensorInfo, array: Array) -> Array:
    return array[None] if array.ndim == len(info.shape) - 1 else array


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise FileError(f"{path}: is a directory, not a file")
    if not path.exists():
        raise FileError(f"{path}: no such file")


def _load(path: Path) -> Any:
    """The array of an .npy file, or the arrays of an .npz file by name."""
    _check_file(path)
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as problem:
        raise FormatError(f"{path}: not a readable numpy file: {problem}") from problem


def random_feeds(model: Model, shapes: Sequence[str] = (), seed: int = 0) -> dict[str, Array]:
    """Random arrays for all inputs. `shapes` holds NAME=1x3x224x224 for sizes that are not fixed."""
    given = parse_shapes(shapes)
    names = [info.name for info in model.inputs]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InvalidArgumentError(f"--shape: the model has no input {unknown[0]!r}; inputs: {', '.join(names)}")
    generator = np.random.default_rng(seed)
    return {info.name: _random_array(info, given.get(info.name), generator) for info in model.inputs}


def _random_array(info: TensorInfo, shape: tuple[int, ...] | None, generator: np.random.Generator) -> Array:
    sizes = shape or _default_shape(info)
    dtype = NUMPY_DTYPES[info.dtype]
    if dtype.kind == "f":
        return generator.standard_normal(sizes, np.float32).astype(dtype, copy=False)
    if dtype.itemsize == 1:
        return generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, sizes, dtype, endpoint=True)
    return np.zeros(sizes, dtype)


def _default_shape(info: TensorInfo) -> tuple[int, ...]:
    """1 for an open batch size; for other sizes there is no good guess."""
    if any(isinstance(size, str) for size in info.shape[1:]):
        raise InvalidArgumentError(
            f"input {info.name!r} of shape {shape_text(info.shape)} has open sizes: "
            f"give --shape {info.name}=1x3x224x224"
        )
    return tuple(size if isinstance(size, int) else 1 for size in info.shape)


def parse_shapes(texts: Sequence[str], option: str = "--shape") -> dict[str, tuple[int, ...]]:
    """`["x=1x3x8x8"]` -> `{"x": (1, 3, 8, 8)}`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        try:
            shape = tuple(int(size) for size in sizes.split("x"))
        except ValueError:
            shape = ()
        if not name or not shape or min(shape) < 1:
            raise InvalidArgumentError(f"{option} {text}: wanted NAME=1x3x224x224")
        if name in shapes:
            raise InvalidArgumentError(f"{option} {text}: {name!r} is given twice")
        shapes[name] = shape
    return shapes
