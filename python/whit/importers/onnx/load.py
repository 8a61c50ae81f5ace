"""The first step: a checked `ModelProto`, wherever the model comes from."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import onnx

from whit.errors import FileError, FormatError, InvalidArgumentError

__all__ = ["MIN_OPSET", "Source", "load"]

MIN_OPSET = 11

#: What files that people mistake for ONNX begin with (offset, bytes), and how they become ONNX.
_OTHER_FORMATS = (
    (0, b"PK\x03\x04", "a zip archive (a PyTorch checkpoint?); export it with torch.onnx.export"),
    (4, b"TFL3", "a TensorFlow Lite model; convert it with tf2onnx"),
    (0, b"\x89HDF", "an HDF5 file (a Keras model?); convert it with tf2onnx"),
    (0, b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with git lfs pull"),
)


@dataclass(frozen=True)
class Source:
    """A checked model and where it came from (`Graph.metadata["source"]`)."""

    proto: onnx.ModelProto
    opset: int
    metadata: dict[str, object]


def load(model: str | os.PathLike[str] | bytes | onnx.ModelProto) -> Source:
    """Reads, checks and identifies a model; see `import_onnx` for what it raises."""
    if isinstance(model, onnx.ModelProto):
        what, proto, directory = "model", model, None
        digest = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    elif isinstance(model, bytes | bytearray | memoryview):
        data = bytes(model)
        what, proto, directory = "model", _parse(data, "model"), None
        digest = hashlib.sha256(data).hexdigest()
    elif isinstance(model, str | os.PathLike):
        path = Path(model)
        what, directory = f"'{path}'", path.parent
        data = _read(path)
        proto = _parse(data, what)
        digest = hashlib.sha256(data).hexdigest()
    else:
        raise InvalidArgumentError(f"model must be a path, bytes or an onnx.ModelProto; got {type(model).__name__}")

    opset = _check_opset(proto, what)
    if directory is not None:
        try:
            onnx.load_external_data_for_model(proto, str(directory))
        except Exception as error:
            raise FormatError(f"{what}: external data cannot be read: {error}") from error
    try:
        if any(not output.type.tensor_type.HasField("shape") for output in proto.graph.output):
            proto = onnx.shape_inference.infer_shapes(proto)  # some tools leave them out, the checker wants them
        onnx.checker.check_model(proto)
    except Exception as error:
        raise FormatError(f"{what} is not a valid ONNX model: {_first_line(error)}") from error
    if proto.graph.sparse_initializer:
        raise FormatError(f"{what} has sparse initializers, which are not read; store them as dense tensors")
    producer = f"{proto.producer_name} {proto.producer_version}".strip()
    return Source(proto, opset, {"format": "onnx", "sha256": digest, "opset": opset, "producer": producer})


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise FileError(f"'{path}' does not exist") from error
    except IsADirectoryError as error:
        raise FileError(f"'{path}' is a directory; give the path of the .onnx file in it") from error
    except OSError as error:
        raise FileError(f"'{path}' cannot be read: {error.strerror}") from error
    return data


def _parse(data: bytes, what: str) -> onnx.ModelProto:
    if not data:
        raise FormatError(f"{what} is empty; export or download it again")
    for offset, magic, hint in _OTHER_FORMATS:
        if data[offset : offset + len(magic)] == magic:
            raise FormatError(f"{what} is not an ONNX file: it is {hint}")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, whichever protobuf is installed
        raise FormatError(f"{what} is not an ONNX file, or it is damaged: {error}") from error
    if not proto.HasField("graph"):
        raise FormatError(f"{what} is not an ONNX file: it holds no graph")
    return proto


def _check_opset(proto: onnx.ModelProto, what: str) -> int:
    newest = onnx.defs.onnx_opset_version()
    opsets = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    if not opsets:
        raise FormatError(f"{what} does not say which ONNX opset it uses; export it again")
    opset = int(opsets[0])
    if opset < MIN_OPSET:
        raise FormatError(
            f"{what} uses ONNX opset {opset}; whit reads {MIN_OPSET} to {newest}. "
            "Export it with a newer opset, or use onnx.version_converter.convert_version(model, 17)"
        )
    if opset > newest:
        raise FormatError(
            f"{what} uses ONNX opset {opset}; whit reads {MIN_OPSET} to {newest} here. "
            "Install a newer onnx package, or export it with an older opset"
        )
    return opset


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
