"""From an ONNX model to a .whit file: import, optimise, compress, write."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whit.compression.calibrate import RunnerFactory, engine_runner
from whit.compression.equalize import encode_factors
from whit.compression.error import Partner, counterpart, measure
from whit.compression.pictures import METADATA_KEY, encode_pictures, take_pictures
from whit.compression.recipe import Recipe, RecipeLike
from whit.compression.result import LayerReport, Report
from whit.compression.steps import State
from whit.data import PreprocessLike, open_data, resolve_preprocess
from whit.errors import CalibrationError, InvalidArgumentError
from whit.ir import Graph, Node, Quantization
from whit.progress import ProgressCallback
from whit.version import __version__

if TYPE_CHECKING:
    import onnx

__all__ = ["compress"]

#: Samples on which the error of each layer is measured.
_REPORT_SAMPLES = 8


def compress(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto | Graph,
    out: str | os.PathLike[str] | None = None,
    recipe: RecipeLike = "int8",
    data: Any = None,
    *,
    preprocess: PreprocessLike = None,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
    progress: ProgressCallback | None = None,
) -> Report:
    """Compresses a model into a .whit file.

    Args:
        model: an ONNX model: a path, its bytes or a `ModelProto`; or a graph of whit.
        out: where to write the file. It is replaced in one step when all went well, else untouched. None returns the
            bytes in `Report.file`.
        recipe: a preset: "f32" (no loss), "int8" (integer arithmetic; needs data), "int8-weights" (smaller, f32
            arithmetic); a .toml file, a `Recipe`, or a mapping as `Recipe.to_dict` gives it.
        data: calibration data: a folder of pictures or .npy files, an .npz, arrays, or an iterable of feeds; see
            `whit.data.open_data`. About 100 samples like those the model will meet.
        preprocess: how pictures become arrays (`whit.preprocess.Preprocess`, its text form, or a dict of one per
            input); stored in the file, so that running it on a picture needs no further settings.
        input_shapes: sizes for inputs that the model leaves open, by input name.
        progress: called with (label, done, total) instead of drawing a progress bar on the terminal.

    Returns:
        Sizes and errors, layer by layer.

    Raises:
        CalibrationError: no data for a recipe that needs it, or unusable data.
        RecipeError: no such recipe, or one that does not fit the model.
        FormatError, UnsupportedOperatorError, InvalidArgumentError: the model cannot be read or converted.
    """
    return run_pipeline(
        model, out, Recipe.of(recipe), data, preprocess=preprocess, input_shapes=input_shapes, callback=progress
    )


def run_pipeline(
    model: Any,
    out: str | os.PathLike[str] | None,
    recipe: Recipe,
    data: Any,
    *,
    preprocess: PreprocessLike = None,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
    callback: ProgressCallback | None = None,
    runner: RunnerFactory = engine_runner,
) -> Report:
    """`compress` with the runner of graphs to choose."""
    from whit.format import save, write
    from whit.optimize import optimize
    from whit.optimize.base import clone

    if recipe.needs_data and data is None:
        raise CalibrationError(
            f"recipe {recipe.name!r} needs calibration data: give data= a folder of pictures or .npy files, an .npz "
            "file, an array or an iterable of feeds, about 100 samples (on the command line: --data DIR|NPZ)"
        )
    path = None if out is None else _check_out(out)
    graph, source_bytes = _import(model, input_shapes)
    reference = optimize(graph)
    for step in recipe.steps:
        step.check_model(reference)
    inputs = [reference.tensors[name] for name in reference.inputs]
    preprocesses = resolve_preprocess(preprocess, inputs)
    pictures = preprocesses if recipe.inputs == "u8" else {}
    if recipe.inputs == "u8":
        reference = take_pictures(reference, preprocesses)
        inputs = [reference.tensors[name] for name in reference.inputs]
        preprocesses = {name: each.as_picture() for name, each in preprocesses.items()}
    dataset = None if data is None else open_data(data, inputs, preprocesses)

    state = State(clone(reference), reference, dataset, runner, callback, recipe.seed)
    for step in recipe.steps:
        step.apply(state)
    result = state.graph
    layers = _layers(state, _errors(state))

    report = Report(
        recipe=recipe.to_dict(),
        layers=tuple(layers),
        source_bytes=source_bytes,
        file_bytes=0,
        weight_bytes_before=_constant_bytes(reference),
        weight_bytes_after=_constant_bytes(result),
        calibration_samples=len(dataset) if dataset is not None and recipe.needs_data else 0,
        notes=tuple(state.notes),
        path=None if path is None else str(path),
    )
    result.metadata = _metadata(graph, recipe, preprocesses, report)
    if pictures:
        result.metadata[METADATA_KEY] = encode_pictures(pictures)
    if state.factors:
        result.metadata["equalization"] = encode_factors(state.factors)
    if path is None:
        file = write(result)
        return _with_file(report, len(file), file)
    save(result, path)
    return _with_file(report, path.stat().st_size, None)


def _import(model: Any, input_shapes: Mapping[str, Sequence[int | str]] | None) -> tuple[Graph, int | None]:
    """The graph and the size of its source."""
    if isinstance(model, Graph):
        if input_shapes:
            raise InvalidArgumentError("compress: input_shapes go with ONNX models; a graph has its shapes")
        return model, None
    from whit.importers.onnx import import_onnx

    graph = import_onnx(model, input_shapes=input_shapes)
    if isinstance(model, (str, os.PathLike)):
        return graph, Path(model).stat().st_size
    return graph, len(model) if isinstance(model, (bytes, bytearray, memoryview)) else model.ByteSize()


def _check_out(out: str | os.PathLike[str]) -> Path:
    """Says before a long calibration what would fail after it."""
    path = Path(out)
    if path.is_dir():
        raise InvalidArgumentError(f"compress: {path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise InvalidArgumentError(f"compress: the folder {path.parent} does not exist")
    return path


def _errors(state: State) -> dict[str, float]:
    """Signal-to-noise ratio of the computed tensors of the reference, in decibel."""
    if state.data is None:
        return {}
    reference, result = state.reference, state.graph
    computed = {name for node in result.nodes for name in node.outputs if name}
    partners: dict[str, Partner] = {}
    for node in reference.nodes:
        name = node.outputs[0]
        found = counterpart(name, computed)
        if found is not None and reference.tensors[name].dtype == "f32":
            partners[name] = Partner(found, _described(result.tensors[found].quantization), state.factors.get(name))
    differences = measure(
        state.runner(reference, [name for name in partners if name not in reference.outputs]),
        state.runner(result, [partner.name for partner in partners.values() if partner.name not in result.outputs]),
        partners,
        state.data.take(_REPORT_SAMPLES),
        callback=state.callback,
    )
    return {name: round(difference.snr_db, 2) for name, difference in differences.items()}


def _described(quantization: Quantization | None) -> dict[str, Any] | None:
    """As `Model.tensors` says it."""
    if quantization is None:
        return None
    return {"scale": quantization.scale, "zero_point": quantization.zero_point, "axis": quantization.axis}


def _layers(state: State, errors: Mapping[str, float]) -> list[LayerReport]:
    reference, result = state.reference, state.graph
    producers = {name: node for node in result.nodes for name in node.outputs if name}
    layers = []
    for node in reference.nodes:
        partner = counterpart(node.outputs[0], producers)
        after = None if partner is None else producers[partner]
        layers.append(
            LayerReport(
                name=node.name,
                op=node.op,
                dtype=_dtype(result, after),
                bytes_before=_node_bytes(reference, node),
                bytes_after=0 if after is None else _node_bytes(result, after),
                snr_db=errors.get(node.outputs[0]),
                note=state.reasons.get(node.name, ""),
            )
        )
    return layers


def _dtype(graph: Graph, node: Node | None) -> str:
    if node is None:
        return "merged"
    first = graph.tensors[node.inputs[0]].dtype
    weights = graph.tensors[node.inputs[1]].dtype if len(node.inputs) > 1 and node.inputs[1] else first
    return "f32 (s8 weights)" if first == "f32" and weights == "s8" else first


def _node_bytes(graph: Graph, node: Node) -> int:
    found = [graph.constant(name) for name in dict.fromkeys(node.inputs) if name]
    return sum(data.nbytes for data in found if data is not None)


def _constant_bytes(graph: Graph) -> int:
    return sum(tensor.data.nbytes for tensor in graph.tensors.values() if tensor.data is not None)


def _metadata(graph: Graph, recipe: Recipe, preprocess: Mapping[str, Any], report: Report) -> dict[str, object]:
    metadata: dict[str, object] = {
        **graph.metadata,
        "producer": f"whit {__version__}",
        "recipe": recipe.to_dict(),
        "report": {
            "weight_bytes_before": report.weight_bytes_before,
            "weight_bytes_after": report.weight_bytes_after,
            "source_bytes": report.source_bytes,
            "calibration_samples": report.calibration_samples,
            "worst_layers": [{"name": layer.name, "snr_db": layer.snr_db} for layer in report.worst()],
        },
    }
    if preprocess:
        metadata["preprocess"] = {name: steps.to_dict() for name, steps in preprocess.items()}
    return metadata


def _with_file(report: Report, file_bytes: int, file: bytes | None) -> Report:
    return replace(report, file_bytes=file_bytes, file=file)
