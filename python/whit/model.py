"""Loading and running .whit files."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from whit import _core
from whit.errors import InvalidArgumentError

__all__ = ["Model", "NodeProfile", "Profile", "Session", "TensorInfo", "load"]

Array = np.ndarray[Any, np.dtype[Any]]


class TensorInfo(NamedTuple):
    """An input or output of a model.

    Attributes:
        name: its name.
        dtype: one of `whit.dtypes.DTYPES` ("f32", "s8", ...).
        shape: sizes; a str names one that is known only at run time.
        quantization: None, or {"scale": [...], "zero_point": [...], "axis": int | None} with
            real = (q - zero_point) * scale.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    quantization: dict[str, Any] | None = None


class NodeProfile(NamedTuple):
    """What one operator costs: median milliseconds over the runs, bytes read and written, and its kernel.

    `reason` says why this kernel, where that depends on how many weights are 0; else it is empty.
    """

    name: str
    op: str
    kernel: str
    ms: float
    bytes: int
    reason: str = ""


class Profile(NamedTuple):
    """The operators of a model in the order of execution, and the median milliseconds of their sum."""

    nodes: tuple[NodeProfile, ...]
    total_ms: float
    runs: int


def load(source: str | os.PathLike[str] | bytes | BinaryIO, threads: int | None = None) -> Model:
    """Loads a .whit file.

    Args:
        source: a path (mapped into memory, weights are not copied), the file's bytes, or a binary file object.
        threads: threads of one inference; None takes WHIT_NUM_THREADS, else the CPUs that the affinity mask and the
            cgroup allow.

    Raises:
        FormatError: not a .whit file, or a damaged one (the text gives the offset); VersionError for a newer version.
        UnsupportedOperatorError: an operator or dtype combination that this whit cannot run.
        FileError: no such file, a directory, no permission.
        InvalidArgumentError: a wrong number of threads, an unknown WHIT_ISA.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        core = _core.Model(bytes(source))
    elif isinstance(source, (str, os.PathLike)):
        core = _core.Model.from_file(os.fspath(source))
    elif isinstance(source, io.IOBase) or hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, bytes):
            raise InvalidArgumentError("load: the file object must be opened in binary mode")
        core = _core.Model(data)
    else:
        raise InvalidArgumentError(f"load: wanted a path, bytes or a binary file; got {type(source).__name__}")
    return Model(core, threads)


def _debug(message: str, *values: object) -> None:
    # Whoever wants to see it has imported logging, which takes longer than the rest of whit.
    logging = sys.modules.get("logging")
    if logging is not None:
        logging.getLogger("whit").debug(message, *values)


def _checked_threads(threads: int | None) -> int | None:
    if threads is None or (isinstance(threads, (int, np.integer)) and 1 <= threads <= 1024):
        return None if threads is None else int(threads)
    raise InvalidArgumentError(f"threads must be an integer from 1 to 1024, or None; got {threads!r}")


def _arrays(what: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    if type(arrays) is dict:
        return arrays
    if isinstance(arrays, Mapping):
        return dict(arrays)
    raise InvalidArgumentError(f"{what} must be a dict of name -> array; got {type(arrays).__name__}")


def _names(what: str, names: Sequence[str]) -> list[str]:
    if not isinstance(names, str) and isinstance(names, Iterable):
        names = list(names)
        if all(isinstance(name, str) for name in names):
            return names
    raise InvalidArgumentError(f"{what} must be a list of names; got {names!r:.100}")


def _infos(items: list[dict[str, Any]]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(item["name"], item["dtype"], item["shape"], item["quantization"]) for item in items)


class Session:
    """One arena and one set of threads on a model's weights. Made by `Model.session`.

    Its runs are serialised; use one session per thread to run in parallel.
    """

    def __init__(self, core: _core.Session, outputs: tuple[TensorInfo, ...]) -> None:
        self._core = core
        self.outputs = outputs

    def __call__(self, *inputs: Array) -> Array | tuple[Array, ...]:
        """Runs on arrays in the order of the model's inputs; returns the output, or a tuple of several."""
        return self._core(*inputs)

    def run(
        self,
        feeds: Mapping[str, Array],
        outputs: Sequence[str] | None = None,
        out: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Runs one inference. The GIL is released while it computes.

        Args:
            feeds: one array for each input, of exactly its dtype; sizes that are not fixed may change from run to run.
                Arrays that are not C-contiguous are copied.
            outputs: names of the outputs to return; None for all (with those that the session observes).
            out: arrays to write outputs into: C-contiguous, of the right dtype and shape, apart from the inputs. With
                one for each output nothing of the size of a tensor is allocated.

        Returns:
            name -> array.

        Raises:
            InvalidArgumentError: a missing or unknown name, a wrong dtype, an array of `out` that cannot be written
                to or that shares memory with another.
            ShapeError: a shape that does not fit.
        """
        wanted = None if outputs is None else _names("outputs", outputs)
        return self._core.run(_arrays("feeds", feeds), wanted, None if out is None else _arrays("out", out))

    def profile(self, feeds: Mapping[str, Array], runs: int = 20) -> Profile:
        """Times every operator over `runs` inferences, after one that is not counted."""
        nodes, times = self._core.profile(_arrays("feeds", feeds), runs)
        medians = np.median(times, axis=0) / 1e6
        return Profile(
            tuple(
                NodeProfile(node["name"], node["op"], node["kernel"], float(ms), node["bytes"], node["reason"])
                for node, ms in zip(nodes, medians, strict=True)
            ),
            float(np.median(times.sum(axis=1)) / 1e6),
            runs,
        )

    @property
    def arena_bytes(self) -> int:
        """Bytes of the memory that all intermediate tensors share, at the input shapes of the last run."""
        return self._core.arena_bytes

    @property
    def threads(self) -> int:
        """Threads that an inference uses: those asked for, or fewer if the system refused to start as many."""
        return self._core.threads

    def kernels(self) -> list[dict[str, Any]]:
        """The planned operators: name, op, kernel, reason (as in `NodeProfile`) and bytes touched.

        Empty before the shapes are known.
        """
        return self._core.nodes()


class Model:
    """A loaded .whit file, ready to run. Made by `load`; a context manager that frees its memory.

    Safe to use from several threads: the runs of one Model queue. `session()` gives another arena on the same weights
    for runs in parallel.

    Attributes:
        inputs, outputs: one `TensorInfo` each.
    """

    def __init__(self, core: _core.Model, threads: int | None = None) -> None:
        self._model: _core.Model | None = core
        self._threads = _checked_threads(threads)
        self.inputs = _infos(core.inputs())
        self.outputs = _infos(core.outputs())
        self._metadata: str | dict[str, Any] = core.metadata
        self._session: Session | None = self.session()
        _debug("loaded a model of %d bytes for %s", core.file_bytes, core.isa)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the producer stored (recipe, preprocessing, source hash)."""
        if isinstance(self._metadata, str):
            import json

            self._metadata = json.loads(self._metadata) if self._metadata else {}
        return self._metadata

    def session(self, threads: int | None = None, observe: Sequence[str] = ()) -> Session:
        """Another arena and set of threads on the same weights.

        Args:
            threads: None for the model's own number.
            observe: names of tensors inside the model that `run` returns besides the outputs.
        """
        core = self._open()
        infos, observe = self.outputs, _names("observe", observe)
        if observe:
            by_name = {item["name"]: item for item in core.tensors()}
            known = {info.name for info in infos}
            infos += _infos([by_name[name] for name in dict.fromkeys(observe) if name in by_name and name not in known])
        count = self._threads if threads is None else _checked_threads(threads)
        return Session(_core.Session(core, count, observe), infos)

    def __call__(self, *inputs: Array) -> Array | tuple[Array, ...]:
        """Runs on arrays in the order of `inputs`; returns the output, or a tuple of several."""
        return self._own()(*inputs)

    def run(
        self,
        feeds: Mapping[str, Array],
        outputs: Sequence[str] | None = None,
        out: Mapping[str, Array] | None = None,
    ) -> dict[str, Array]:
        """Runs one inference; see `Session.run`."""
        return self._own().run(feeds, outputs, out)

    def profile(self, feeds: Mapping[str, Array], runs: int = 20) -> Profile:
        """Times every operator; see `Session.profile`."""
        return self._own().profile(feeds, runs)

    @property
    def threads(self) -> int:
        """Threads that an inference uses."""
        return self._own().threads

    @property
    def isa(self) -> str:
        """The best instruction set in use ("avx512vnni", "neon", ...)."""
        return self._open().isa

    @property
    def arena_bytes(self) -> int:
        """Bytes of the memory that all intermediate tensors share."""
        return self._own().arena_bytes

    @property
    def packed_bytes(self) -> int:
        """Bytes of the weights packed for this CPU."""
        return self._open().packed_bytes

    @property
    def file_bytes(self) -> int:
        """Size of the file."""
        return self._open().file_bytes

    @property
    def format_version(self) -> tuple[int, int]:
        """Version of the file format."""
        return self._open().version

    def tensors(self) -> list[dict[str, Any]]:
        """Every tensor of the graph: name, dtype, shape, quantization, constant, encoding, bytes, stored_bytes.

        Of weights with a scale for each `group` values of a row, `quantization` says that too, and has one scale after
        the other, row by row.
        """
        return self._open().tensors()

    @property
    def has_sparse_weights(self) -> bool:
        """Whether weights of a conv or gemm are mostly 0: the engine may run it with kernels for such weights."""
        return self._open().has_sparse_weights

    @property
    def has_coded_weights(self) -> bool:
        """Whether a conv or gemm has s8 weights of 16 values at most: the engine may keep codes of 4 or 2 bits."""
        return self._open().has_coded_weights

    def nodes(self) -> list[dict[str, Any]]:
        """Every node of the graph: name, op, inputs, outputs, attributes, and the bytes of its packed weights."""
        return self._open().nodes()

    def kernels(self) -> list[dict[str, Any]]:
        """The operators as planned; see `Session.kernels`."""
        return self._own().kernels()

    def close(self) -> None:
        """Frees arena and packed weights. Sessions made from this model keep working."""
        self._session = None
        self._model = None

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> _core.Model:
        if self._model is None:
            raise InvalidArgumentError("the model is closed")
        return self._model

    def _own(self) -> Session:
        if self._session is None:
            raise InvalidArgumentError("the model is closed")
        return self._session
