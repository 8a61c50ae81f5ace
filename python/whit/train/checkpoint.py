"""Checkpoints: everything that a training needs to go on, in one file that is replaced in one step."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from whit.errors import FileError, FormatError, TrainingError
from whit.ir import Graph

__all__ = ["fingerprint", "graph_digest", "read_checkpoint", "write_checkpoint"]

_FORMAT = 1
_DIGEST = hashlib.sha256().digest_size


def graph_digest(graph: Graph) -> str:
    """Of the nodes and all constants of a graph."""
    found = hashlib.sha256(
        repr([(node.op, node.inputs, node.outputs, node.attributes) for node in graph.nodes]).encode()
    )
    for name, tensor in sorted(graph.tensors.items()):
        found.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        if tensor.data is not None:
            found.update(tensor.data.tobytes())
    return found.hexdigest()


def fingerprint(*parts: object) -> str:
    """One text for all that a run depends on."""
    return hashlib.sha256(repr((torch.__version__, *parts)).encode()).hexdigest()


def write_checkpoint(path: Path, run: str, state: dict[str, Any]) -> None:
    """Replaces the checkpoint at `path` in one step: a kill at any moment leaves the old or the new one.

    Raises:
        FileError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        payload = io.BytesIO()
        torch.save({"format": _FORMAT, "run": run, "state": state}, payload)
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(payload.getbuffer()).digest())
            file.write(payload.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FileError(f"checkpoint '{path}' cannot be written: {error.strerror}") from error


def read_checkpoint(path: Path, run: str) -> dict[str, Any] | None:
    """The state that was written last, None if there is no file.

    Raises:
        FileError: it cannot be read, or its folder does not exist.
        FormatError: it is no checkpoint, or damaged.
        TrainingError: it belongs to another run.
    """
    if not path.parent.is_dir():
        raise FileError(f"checkpoint '{path}': the folder {path.parent} does not exist")
    if path.is_dir():
        raise FileError(f"checkpoint '{path}' is a folder; give the name of a file")
    if not path.exists():
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"checkpoint '{path}' cannot be read: {error.strerror}") from error
    digest, payload = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(payload).digest() != digest:
        raise FormatError(f"'{path}' is not a checkpoint of whit, or it is damaged; delete it to start anew")
    found = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    form, owner, state = found["format"], found["run"], found["state"]
    if form != _FORMAT or owner != run:
        raise TrainingError(
            f"checkpoint '{path}' is of another run: the model, the data, the settings or torch were different. "
            "Delete it to start anew, or name another file"
        )
    assert isinstance(state, dict), "written above"
    return state
