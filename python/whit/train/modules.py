"""Models of any kind as graphs: torch modules by way of torch's ONNX exporter, files by way of the importer."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from whit.errors import InvalidArgumentError
from whit.ir import Graph, verify

__all__ = ["from_torch", "in_numbers", "to_graph"]


def from_torch(module: torch.nn.Module, example: Any) -> Graph:
    """A torch module as an optimised graph, f32, as it is in evaluation mode (batch norms become part of convolutions).

    Args:
        module: takes tensors, returns one or several. It is left in the mode in which it was.
        example: an input it can run on: an array or a tensor, or a tuple of them. Their first axis is taken as that of
            the samples and left open; the other sizes are fixed.

    Returns:
        A graph with inputs `input` (or `input_0`, ...) and outputs `output` (or `output_0`, ...), in the module's own
        layout.

    Raises:
        InvalidArgumentError: torch cannot export it; the message says why.
        UnsupportedOperatorError: it uses what whit does not have; every such node is listed.
    """
    from whit.importers.onnx import import_onnx

    if not isinstance(module, torch.nn.Module):
        raise InvalidArgumentError(f"from_torch: wanted a torch.nn.Module; got {type(module).__name__}")
    given = example if isinstance(example, (tuple, list)) else (example,)
    inputs = tuple(torch.as_tensor(np.array(value) if isinstance(value, np.ndarray) else value) for value in given)
    if not inputs or any(value.ndim == 0 for value in inputs):
        raise InvalidArgumentError(
            "from_torch: the example needs an axis of samples, as in example=torch.zeros(1, 3, 32, 32)"
        )
    training = module.training
    try:
        module.eval()
        file = _export(module, inputs)
    finally:
        module.train(training)
    return in_numbers(import_onnx(file))


def in_numbers(graph: Graph) -> Graph:
    """An optimised copy, as `whit.optimize.optimize` gives it, but without bits, which nothing can be trained through.

    Raises:
        WhitError: the graph is not valid.
    """
    from whit.optimize import PIPELINE, run_passes
    from whit.optimize.base import clone
    from whit.optimize.fold_bits import FoldBits

    graph = clone(graph)
    verify(graph)
    for stage in PIPELINE:
        run_passes(graph, tuple(each for each in stage if not isinstance(each, FoldBits)), check=False)
    graph.sort()
    verify(graph)
    return graph


def _export(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> bytes:
    # A batch of one would be taken for a fixed size.
    wide = tuple(value.repeat(2, *[1] * (value.ndim - 1)) if len(value) == 1 else value for value in inputs)
    names = ["input"] if len(inputs) == 1 else [f"input_{index}" for index in range(len(inputs))]
    try:
        with torch.no_grad():
            results = module(*wide)
    except Exception as error:
        raise InvalidArgumentError(f"from_torch: the module does not run on the example: {error}") from error
    count = len(results) if isinstance(results, (tuple, list)) else 1
    outputs = ["output"] if count == 1 else [f"output_{index}" for index in range(count)]
    file = io.BytesIO()
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                wide,
                input_names=names,
                output_names=outputs,
                dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in wide),
                dynamo=True,
                verbose=False,
            )
            program.save(file)
    except ImportError as error:
        raise InvalidArgumentError(
            f"from_torch needs a package ({error}): pip install 'whit[compress,train]'"
        ) from error
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidArgumentError(
            f"from_torch: torch cannot export {type(module).__name__}: {first}. Shapes must not depend on values; "
            "torch.onnx.export(..., dynamo=True, report=True) tells more"
        ) from error
    return file.getvalue()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's prints, warnings and log messages."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def to_graph(model: Any, data: Any, what: str) -> Graph:
    """A graph from a graph, whatever `import_onnx` reads, or a torch module (`data` then shows it an input).

    Raises:
        UnsupportedOperatorError, FormatError, InvalidArgumentError: it cannot become one.
    """
    if isinstance(model, Graph):
        return model
    if isinstance(model, torch.nn.Module):
        from whit.train.mirror import TorchGraph

        return model.to_graph() if isinstance(model, TorchGraph) else from_torch(model, _example(data, what))
    if not isinstance(model, (str, os.PathLike, bytes)) and type(model).__name__ != "ModelProto":
        raise InvalidArgumentError(
            f"{what}: wanted a graph, an ONNX model or a torch module; got {type(model).__name__}"
        )
    from whit.importers.onnx import import_onnx

    return in_numbers(import_onnx(model))


def _example(data: Any, what: str) -> tuple[Any, ...]:
    values = tuple(data.values()) if isinstance(data, Mapping) else (data,)
    if not all(isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim and len(value) for value in values):
        raise InvalidArgumentError(
            f"{what}: a torch module needs data as an array, or use whit.from_torch(module, example) first"
        )
    return tuple(value[:1] for value in values)
