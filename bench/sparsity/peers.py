"""Who multiplies a sparse f32 matrix with a dense one: whit, and the others that are installed.

Each is loaded in a process of its own, on one CPU, and stands still while another one is timed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from whit.version import __version__

Product = Callable[[], Any]


def _whit(w: np.ndarray, x: np.ndarray) -> Product:
    from whit.kernels import CsrMatrix

    matrix, out = CsrMatrix.from_dense(w), np.empty((len(w), *x.shape[1:]), np.float32)
    return lambda: matrix.matmul(x, out, 1)


def _scipy(w: np.ndarray, x: np.ndarray) -> Product:
    import scipy.sparse

    matrix = scipy.sparse.csr_matrix(w)
    return lambda: matrix @ x


def _torch(w: np.ndarray, x: np.ndarray) -> Product:
    import torch

    torch.set_num_threads(1)
    matrix, dense = torch.from_numpy(w).to_sparse_csr(), torch.from_numpy(x)
    return (lambda: torch.mv(matrix, dense)) if x.ndim == 1 else (lambda: torch.mm(matrix, dense))


def _mkl(w: np.ndarray, x: np.ndarray) -> Product:
    import scipy.sparse
    import sparse_dot_mkl

    matrix = scipy.sparse.csr_matrix(w)
    return lambda: sparse_dot_mkl.dot_product_mkl(matrix, x)


def _deepsparse_layer(w: np.ndarray, x: np.ndarray) -> Product:
    """As a fully connected layer: columns of x are the batch."""
    rows = np.ascontiguousarray(np.atleast_2d(x.T))
    engine = _engine("Gemm", {"transB": 1}, w, rows, [len(rows), len(w)])
    return lambda: engine.run([rows])[0].T


def _deepsparse_conv(w: np.ndarray, x: np.ndarray) -> Product:
    """As a 1x1 convolution: columns of x are pixels."""
    image = np.ascontiguousarray(x.reshape(1, len(x), 1, -1))
    engine = _engine("Conv", {"kernel_shape": [1, 1]}, w[:, :, None, None], image, [1, len(w), 1, image.shape[3]])
    return lambda: engine.run([image])[0].reshape(len(w), *x.shape[1:])


def _engine(op: str, attributes: dict[str, Any], w: np.ndarray, x: np.ndarray, shape: list[int]) -> Any:
    import deepsparse
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node(op, ["x", "w", "b"], ["y"], **attributes)],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(np.zeros(len(w), np.float32), "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "product.onnx")
        onnx.save(model, path)
        return deepsparse.Engine(model=path, batch_size=x.shape[0], num_cores=1)


#: Package and how to load; whit first.
PEERS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], Product]]] = {
    "whit": ("whit", _whit),
    "DeepSparse fc": ("deepsparse", _deepsparse_layer),
    "DeepSparse conv": ("deepsparse", _deepsparse_conv),
    "torch (MKL)": ("torch", _torch),
    "sparse-dot-mkl": ("sparse_dot_mkl", _mkl),
    "scipy": ("scipy", _scipy),
}


def installed() -> dict[str, str]:
    """Names and versions of those that can be imported."""
    found = {"whit": __version__}
    for name, (package, _) in PEERS.items():
        if name not in found and importlib.util.find_spec(package) is not None:
            found[name] = importlib.metadata.version(package)
    return found


class PeerError(Exception):
    """One that could not load or multiply; the text says why."""


class Peer:
    """One of them in its process, which stands still unless it is asked something."""

    def __init__(self, name: str, w: np.ndarray, x: np.ndarray) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, w, x), daemon=True)
        self._process.start()
        theirs.close()
        self.result: np.ndarray = self._answer()
        self._signal(signal.SIGSTOP)

    def seconds(self, count: int) -> float:
        """Of a product, the mean of `count` that follow each other, after one that does not count."""
        self._signal(signal.SIGCONT)
        self._pipe.send(count)
        seconds: float = self._answer()
        self._signal(signal.SIGSTOP)
        return seconds

    def close(self) -> None:
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise PeerError("died") from None
        if isinstance(answer, str):
            raise PeerError(answer)
        return answer

    def _signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None, "started"
        os.kill(self._process.pid, number)


def _serve(pipe: Connection, name: str, w: np.ndarray, x: np.ndarray) -> None:
    os.environ |= {"MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NM_BIND_THREADS_TO_CORES": "0"}
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        # What was sent has dtypes of its own, equal to numpy's; DeepSparse wants the very same.
        product = PEERS[name][1](w.astype(np.float32), x.astype(np.float32))
        pipe.send(np.array(product(), np.float32))
        while True:
            count = pipe.recv()
            product()
            begin = time.perf_counter()
            for _ in range(count):
                product()
            pipe.send((time.perf_counter() - begin) / count)
    except EOFError:
        return
    except Exception as problem:  # whatever a library raises is its answer
        pipe.send(f"{type(problem).__name__}: {problem}".splitlines()[0])
