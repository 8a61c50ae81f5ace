"""Where a compressed model differs from its original, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from whit.compression.calibrate import Runner, engine_runner
from whit.compression.equalize import decode_factors
from whit.compression.error import MAX_SNR_DB, Difference, Partner, counterpart, is_comparable
from whit.compression.pictures import METADATA_KEY, decode_pictures, take_pictures
from whit.compression.recipe import Recipe
from whit.compression.steps import Quantize
from whit.data import PreprocessLike, open_data, resolve_preprocess
from whit.errors import InvalidArgumentError, RecipeError
from whit.ir import Graph
from whit.optimize import optimize
from whit.optimize.layout_rules import channels_first
from whit.progress import ProgressCallback, progress

if TYPE_CHECKING:
    import onnx

    from whit.model import Model

__all__ = ["Comparison", "LayerComparison", "OutputComparison", "compare"]

#: Below this a layer's output is visibly wrong; s8 alone costs about 25 to 45 dB.
_BAD_SNR_DB = 15.0
_METHODS = ("mse", "kl", "percentile", "minmax")
#: A layer that loses so much against the worst of its inputs is itself the cause.
_OWN_LOSS_DB = 6.0


@dataclass(frozen=True)
class LayerComparison:
    """One operator of the original.

    Attributes:
        name, op: of the operator.
        tensor: its output.
        dtype: in which the compressed model computes it: of the operator's first input there.
        snr_db: signal-to-noise ratio of the output, 200 where equal.
        input_snr_db: the lowest of its inputs; much above `snr_db` where this layer is what loses. None where no input
            was compared.
        max_abs: largest difference.
    """

    name: str
    op: str
    tensor: str
    dtype: str
    snr_db: float
    input_snr_db: float | None
    max_abs: float


@dataclass(frozen=True)
class OutputComparison:
    """One output of the model.

    Attributes:
        name: of the output.
        snr_db: signal-to-noise ratio.
        max_abs: largest difference.
        max_abs_reference: largest magnitude in the original.
        top1_agreement: share of samples whose largest entry is at the same place, for outputs [N, classes] or
            [classes]; None for others.
    """

    name: str
    snr_db: float
    max_abs: float
    max_abs_reference: float
    top1_agreement: float | None


@dataclass(frozen=True)
class Comparison:
    """The outcome of `compare`.

    Attributes:
        samples: runs compared.
        layers: worst first.
        outputs: in the model's order.
        advice: what to do, most useful first.
    """

    samples: int
    layers: tuple[LayerComparison, ...]
    outputs: tuple[OutputComparison, ...]
    advice: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """JSON-ready, with stable keys."""
        return {
            "samples": self.samples,
            "layers": [asdict(layer) for layer in self.layers],
            "outputs": [asdict(output) for output in self.outputs],
            "advice": list(self.advice),
        }

    def __str__(self) -> str:
        lines = [f"{self.samples} samples; layers by signal-to-noise ratio, worst first", ""]
        lines.append(f"{'SNR dB':>8}  {'inputs':>8}  {'max abs':>10}  {'dtype':5}  {'operator':18}  layer")
        for layer in self.layers:
            before = "" if layer.input_snr_db is None else f"{layer.input_snr_db:.1f}"
            lines.append(
                f"{layer.snr_db:8.1f}  {before:>8}  {layer.max_abs:10.3g}  {layer.dtype:5}  {layer.op:18}  {layer.name}"
            )
        lines.append("")
        for output in self.outputs:
            line = f"output {output.name}: SNR {output.snr_db:.1f} dB, max abs difference {output.max_abs:.3g}"
            line += f" (values up to {output.max_abs_reference:.3g})"
            if output.top1_agreement is not None:
                line += f", top-1 agreement {100 * output.top1_agreement:.1f} %"
            lines.append(line)
        lines.extend(f"advice: {text}" for text in self.advice)
        return "\n".join(lines)


def compare(
    onnx_model: str | os.PathLike[str] | bytes | onnx.ModelProto | Graph,
    whit_model: str | os.PathLike[str] | bytes | Model,
    data: Any,
    *,
    preprocess: PreprocessLike = None,
    progress_callback: ProgressCallback | None = None,
) -> Comparison:
    """Runs the original in f32 and the compressed model on the same data and compares every tensor both have.

    Args:
        onnx_model: the original: an ONNX model, or a graph of whit.
        whit_model: the compressed file, its bytes, or the loaded model.
        data: as `whit.data.open_data` takes it; ten samples are enough to find layers.
        preprocess: how pictures become arrays; without, what the file holds.
        progress_callback: called with (label, done, total) instead of drawing a progress bar.

    Raises:
        InvalidArgumentError: the two have other inputs or outputs.
        CalibrationError: unusable data.
    """
    from whit.model import Model, load

    compressed = whit_model if isinstance(whit_model, Model) else load(whit_model)
    graph = _reference(onnx_model, compressed)
    tensors = {item["name"]: item for item in compressed.tensors() if not item["constant"]}
    names = {"inputs": [item.name for item in compressed.inputs], "outputs": [item.name for item in compressed.outputs]}
    for kind, wanted in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if names[kind] != wanted:
            raise InvalidArgumentError(
                f"compare: the models have other {kind}: {', '.join(wanted)} and {', '.join(names[kind])}; "
                "is the file made from this model?"
            )
    if preprocess is None:
        preprocess = compressed.metadata.get("preprocess")
    steps = resolve_preprocess(preprocess, compressed.inputs)
    for name in decode_pictures(compressed.metadata.get(METADATA_KEY)):
        if name in steps:
            steps[name] = steps[name].as_picture()
    dataset = open_data(data, compressed.inputs, steps)
    factors = decode_factors(compressed.metadata.get("equalization"))
    partners = {name: Partner(name, tensors[name]["quantization"]) for name in graph.outputs}
    for name in (node.output for node in graph.nodes if node.output not in partners):
        found = counterpart(name, tensors)
        tensor = graph.tensors[name]
        if found is not None and tensor.dtype == "f32" and is_comparable(tensor.shape, tensors[found]["shape"]):
            partners[name] = Partner(found, tensors[found]["quantization"], factors.get(name))
    reference = engine_runner(graph, [name for name in partners if name not in graph.outputs])
    inside = [partner.name for name, partner in partners.items() if name not in graph.outputs]
    other: Runner = compressed.session(observe=inside)

    differences = {name: Difference() for name in partners}
    tops = {name: _Top1() for name in graph.outputs}
    for feeds in progress(dataset, len(dataset), "compare", progress_callback):
        wanted_values, got_values = reference.run(feeds), other.run(feeds)
        for name, difference in differences.items():
            got = partners[name].real(got_values[partners[name].name])
            difference.add(wanted_values[name], got)
            if name in tops:
                tops[name].add(wanted_values[name], got)

    layers = _layers(graph, partners, _computing_dtypes(compressed), differences)
    outputs = tuple(
        OutputComparison(
            name, _round(differences[name].snr_db), differences[name].max_abs, tops[name].max_abs, tops[name].agreement
        )
        for name in graph.outputs
    )
    return Comparison(len(dataset), layers, outputs, tuple(_advice(layers, outputs, compressed.metadata)))


def _reference(model: Any, compressed: Model) -> Graph:
    pictures = decode_pictures(compressed.metadata.get(METADATA_KEY))
    shapes = {info.name: info.shape for info in compressed.inputs}
    for name, steps in pictures.items():
        if steps.layout == "NCHW" and len(shapes.get(name, ())) == 4:
            shapes[name] = tuple(shapes[name][axis] for axis in channels_first(4))
    graph = _sized(model, shapes)
    return take_pictures(graph, pictures) if pictures else graph


def _sized(model: Any, shapes: Mapping[str, Sequence[int | str]]) -> Graph:
    """The optimised original. Sizes that were fixed when the file was made are fixed in it too."""
    from whit.importers.onnx import import_onnx

    if isinstance(model, Graph):
        return optimize(model)
    graph = import_onnx(model)
    fixed = {
        name: shapes[name] for name in graph.inputs if name in shapes and graph.tensors[name].shape != shapes[name]
    }
    return optimize(import_onnx(model, input_shapes=fixed) if fixed else graph)


class _Top1:
    """Counts where the largest entry of class vectors agrees."""

    def __init__(self) -> None:
        self.same = self.total = 0
        self.max_abs = 0.0
        self.is_vector = True

    def add(self, reference: np.ndarray, other: np.ndarray) -> None:
        if reference.size == 0:
            return
        self.max_abs = max(self.max_abs, float(np.abs(reference.astype(np.float64)).max()))
        self.is_vector &= reference.ndim in (1, 2) and reference.shape[-1] > 1
        if self.is_vector:
            same = reference.argmax(-1) == other.argmax(-1)
            self.same, self.total = self.same + int(np.sum(same)), self.total + np.size(same)

    @property
    def agreement(self) -> float | None:
        return self.same / self.total if self.is_vector and self.total else None


def _computing_dtypes(model: Model) -> dict[str, str]:
    """Output tensor -> dtype of the first input of the operator that computes it."""
    dtypes = {item["name"]: item["dtype"] for item in model.tensors()}
    return {name: dtypes[node["inputs"][0]] for node in model.nodes() for name in node["outputs"] if name}


def _layers(
    graph: Graph, partners: Mapping[str, Partner], dtypes: Mapping[str, str], differences: Mapping[str, Difference]
) -> tuple[LayerComparison, ...]:
    layers = []
    for node in graph.nodes:
        name = node.output
        if name not in partners:
            continue
        before = [differences[other].snr_db for other in node.inputs if other in partners]
        layers.append(
            LayerComparison(
                node.name,
                node.op,
                name,
                dtypes.get(partners[name].name, "f32"),
                _round(differences[name].snr_db),
                _round(min(before)) if before else None,
                differences[name].max_abs,
            )
        )
    return tuple(sorted(layers, key=lambda layer: layer.snr_db))


def _advice(
    layers: tuple[LayerComparison, ...], outputs: tuple[OutputComparison, ...], metadata: Mapping[str, Any]
) -> list[str]:
    is_s8 = any(layer.dtype == "s8" for layer in layers)
    bad = [output for output in outputs if output.snr_db < _BAD_SNR_DB]
    if not bad:
        return ["every output is close to the original; nothing to do"]
    advice = []
    # A layer without compared inputs has the model's own inputs, which are exact.
    causes = [layer for layer in layers if layer.dtype == "s8" and _input_snr(layer) - layer.snr_db > _OWN_LOSS_DB]
    culprits = [layer for layer in causes if layer.snr_db < _BAD_SNR_DB] or causes
    if culprits and is_s8:
        listed = ", ".join(f"{layer.name!r}" for layer in culprits[:5])
        advice.append(f"these layers lose most by themselves; leave them in f32 (recipe key quantize.skip): {listed}")
    if is_s8:
        others = " or ".join(repr(name) for name in _METHODS if name != _calibration_method(metadata))
        advice.append(f"calibrate with another method (recipe key quantize.calibration.method): {others}")
        advice.append("calibrate with more samples, or samples closer to those of this comparison")
        advice.append("recipe 'int8-weights' keeps arithmetic in f32: smaller, as accurate, slower")
    else:
        advice.append("arithmetic is f32 here: check that the file was made from this very model")
    if not metadata.get("preprocess"):
        advice.append(
            "check that calibration and this comparison used the preprocessing that the model was trained with"
        )
    return advice


def _calibration_method(metadata: Mapping[str, Any]) -> str:
    """Of the recipe in a file's metadata, which nobody checked."""
    try:
        recipe = Recipe.from_dict(metadata["recipe"])
    except (LookupError, TypeError, RecipeError):
        return ""
    return next((step.calibration.method for step in recipe.steps if isinstance(step, Quantize)), "")


def _round(value: float) -> float:
    return round(value, 2)


def _input_snr(layer: LayerComparison) -> float:
    return MAX_SNR_DB if layer.input_snr_db is None else layer.input_snr_db
