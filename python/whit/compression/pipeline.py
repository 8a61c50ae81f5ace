"""From an ONNX model to a .whit file: import, optimise, compress, write."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whit.compression.aim import Aim
from whit.compression.calibrate import RunnerFactory, engine_runner
from whit.compression.details import layer_nodes, sample_feeds, with_storage, with_times
from whit.compression.equalize import encode_factors
from whit.compression.error import Partner, counterpart, is_comparable, measure
from whit.compression.evaluate import EvaluationSet, Reference, open_evaluation
from whit.compression.pictures import METADATA_KEY, encode_pictures, take_pictures
from whit.compression.recipe import Recipe, RecipeLike
from whit.compression.result import LayerReport, Report
from whit.compression.steps import State
from whit.data import Dataset, PreprocessLike, open_data, resolve_preprocess
from whit.errors import CalibrationError, InvalidArgumentError
from whit.ir import Graph, Node, Quantization
from whit.preprocess import Preprocess
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
    evaluation: Any = None,
    labels: Any = None,
    times: bool = False,
    target: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
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
        evaluation: samples on which the file is compared with the original, as for `data`; or a folder with one
            subfolder of pictures per class. See `Report.accuracy`.
        labels: the right class of each: an array, a .npy file, or a .txt or .csv file with one number on each line.
            Without, what counts is how often the file chooses the class that the original does.
        times: measures both models on this machine, operator by operator.
        target: the core that the file is for: "cortex-a53", ... (`whit.compression.targets.NAMES`), or "this" machine.
            Pruning then leaves layers dense that would be slower sparse there, or no smaller in the file; the report
            says which and why.
        checkpoint: file that training (a distill step) saves to once an epoch: a run that was killed goes on from it
            when the same call is made again, and ends with the same bytes. More such steps add .2, .3, ... to its name.
        progress: called with (label, done, total) instead of drawing a progress bar on the terminal.

    Returns:
        Sizes and errors, layer by layer.

    Raises:
        CalibrationError: no data for a recipe that needs it, or unusable data.
        RecipeError: no such recipe, or one that does not fit the model.
        FormatError, UnsupportedOperatorError, InvalidArgumentError: the model cannot be read or converted, or there is
            no such target.
    """
    return run_pipeline(
        model,
        out,
        Recipe.of(recipe),
        data,
        preprocess=preprocess,
        input_shapes=input_shapes,
        evaluation=evaluation,
        labels=labels,
        times=times,
        target=target,
        checkpoint=checkpoint,
        callback=progress,
    )


def run_pipeline(
    model: Any,
    out: str | os.PathLike[str] | None,
    recipe: Recipe,
    data: Any,
    *,
    preprocess: PreprocessLike = None,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
    evaluation: Any = None,
    labels: Any = None,
    times: bool = False,
    target: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    callback: ProgressCallback | None = None,
    runner: RunnerFactory = engine_runner,
) -> Report:
    """`compress` with the runner of graphs to choose."""
    from whit.format import store, write
    from whit.model import load

    path = None if out is None else _check_out(out)
    aim = None if target is None else Aim.of(target, recipe.storage, recipe.steps)
    saved = None if checkpoint is None else _check_checkpoint(checkpoint, path, recipe)
    if labels is not None and evaluation is None:
        raise InvalidArgumentError("compress: labels go with evaluation data; give both")
    prepared = prepare(model, recipe, data, preprocess=preprocess, input_shapes=input_shapes)
    evaluated = None if evaluation is None else prepared.evaluation(evaluation, labels, runner, callback)
    report, result = apply(prepared, recipe, runner=runner, callback=callback, checkpoint=saved, aim=aim)
    file = write(result, recipe.storage)
    with load(file) as made:
        parts = layer_nodes(prepared.reference, result)
        report = with_storage(report, parts, prepared.reference, result, made)
        if evaluated is not None:
            samples, reference = evaluated
            report = replace(report, accuracy=reference.evaluate(runner(result, []), samples, callback))
        if times:
            first = None if prepared.data is None else next(iter(prepared.data))
            feeds = sample_feeds(prepared.reference, first)
            report = with_times(report, parts, prepared.reference, made, feeds)
    if path is None:
        return replace(report, file_bytes=len(file), file=file)
    store(file, path)
    return replace(report, file_bytes=len(file), path=str(path))


@dataclass(frozen=True)
class Prepared:
    """A model and its data, ready for recipes that agree in `inputs`.

    Attributes:
        graph: as it was imported.
        source_bytes: of the ONNX model; None for a graph.
        reference: the optimised f32 model, with the inputs that the file will have.
        preprocess: how pictures become those inputs.
        pictures: what became part of the model (`compression/pictures.py`).
        data: calibration data, or None.
    """

    graph: Graph
    source_bytes: int | None
    reference: Graph
    preprocess: Mapping[str, Preprocess]
    pictures: Mapping[str, Preprocess]
    data: Dataset | None

    def evaluation(
        self, source: Any, labels: Any, runner: RunnerFactory = engine_runner, callback: ProgressCallback | None = None
    ) -> tuple[EvaluationSet, Reference]:
        """Evaluation data, and what the f32 model gives on it; raises what `open_evaluation` and `Reference.of` do."""
        inputs = [self.reference.tensors[name] for name in self.reference.inputs]
        samples = open_evaluation(source, labels, inputs, dict(self.preprocess))
        return samples, Reference.of(runner(self.reference, []), self.reference.outputs[0], samples, callback)


def prepare(
    model: Any,
    recipe: Recipe,
    data: Any,
    *,
    preprocess: PreprocessLike = None,
    input_shapes: Mapping[str, Sequence[int | str]] | None = None,
) -> Prepared:
    """Imports and optimises a model, opens its data, and checks that the recipe fits them."""
    from whit.optimize import optimize

    if recipe.needs_data and data is None:
        raise CalibrationError(
            f"recipe {recipe.name!r} needs calibration data: give data= a folder of pictures or .npy files, an .npz "
            "file, an array or an iterable of feeds, about 100 samples (on the command line: --data DIR|NPZ)"
        )
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
    return Prepared(graph, source_bytes, reference, preprocesses, pictures, dataset)


def apply(
    prepared: Prepared,
    recipe: Recipe,
    *,
    runner: RunnerFactory = engine_runner,
    callback: ProgressCallback | None = None,
    errors: bool = True,
    checkpoint: Path | None = None,
    aim: Aim | None = None,
) -> tuple[Report, Graph]:
    """Applies a recipe. `errors` says whether those of the layers are measured, `checkpoint` is for steps that train.

    With an `aim`, pruning leaves layers dense where zeros are not worth it.

    Returns:
        What was done (sizes in the file are not known yet), and the graph to write.
    """
    from whit.optimize.base import clone

    reference, dataset = prepared.reference, prepared.data
    state = State(clone(reference), reference, dataset, runner, callback, recipe.seed, checkpoint, aim)
    for step in recipe.steps:
        if not step.names(state.graph):
            state.notes.append(f"{step.kind}: the model has no layer that this step is for")
        step.apply(state)
    result = state.graph
    layers = _layers(state, _errors(state) if errors else {})

    report = Report(
        recipe=recipe.to_dict(),
        layers=tuple(layers),
        source_bytes=prepared.source_bytes,
        file_bytes=0,
        weight_bytes_before=_constant_bytes(reference),
        weight_bytes_after=_constant_bytes(result),
        calibration_samples=len(dataset) if dataset is not None and recipe.needs_data else 0,
        notes=tuple(state.notes),
    )
    result.metadata = _metadata(prepared.graph, recipe, prepared.preprocess, report)
    if prepared.pictures:
        result.metadata[METADATA_KEY] = encode_pictures(prepared.pictures)
    if state.factors:
        result.metadata["equalization"] = encode_factors(state.factors)
    return report, result


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


def _check_checkpoint(checkpoint: str | os.PathLike[str], out: Path | None, recipe: Recipe) -> Path:
    path = Path(checkpoint)
    if not any(step.trains for step in recipe.steps):
        raise InvalidArgumentError(
            f"compress: recipe {recipe.name!r} has no step that trains; leave the checkpoint out"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise InvalidArgumentError(f"compress: checkpoint {path}: is a folder, or its folder does not exist")
    if out is not None and path.absolute() == out.absolute():
        raise InvalidArgumentError(f"compress: {path} is the file to write; give the checkpoint another name")
    return path


def _errors(state: State) -> dict[str, float]:
    """Signal-to-noise ratio of the computed tensors of the reference, in decibel."""
    if state.data is None:
        return {}
    reference, result = state.reference, state.graph
    computed = {name for node in result.nodes for name in node.outputs if name}
    partners: dict[str, Partner] = {}
    for node in reference.nodes:
        name = node.output
        found = counterpart(name, computed)
        tensor = reference.tensors[name]
        if found is not None and tensor.dtype == "f32" and is_comparable(tensor.shape, result.tensors[found].shape):
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
    parts = layer_nodes(reference, result)
    layers = []
    for node in reference.nodes:
        partner = counterpart(node.output, producers)
        after = None if partner is None else producers[partner]
        layers.append(
            LayerReport(
                name=node.name,
                op=node.op,
                dtype=_dtype(result, after),
                bytes_before=_node_bytes(reference, node),
                bytes_after=_node_bytes(result, *parts[node.name]),
                snr_db=errors.get(node.output),
                note=state.reasons.get(node.name, ""),
            )
        )
    return layers


def _dtype(graph: Graph, node: Node | None) -> str:
    if node is None:
        return "merged"
    first = graph.tensors[node.inputs[0]].dtype
    weights = graph.tensors[node.input(1)].dtype if node.input(1) else first
    if node.attributes.get("dynamic"):
        return "s8 (dynamic)"
    return "f32 (s8 weights)" if first == "f32" and weights == "s8" else first


def _node_bytes(graph: Graph, *nodes: Node) -> int:
    found = [graph.constant(name) for name in dict.fromkeys(name for node in nodes for name in node.inputs) if name]
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
