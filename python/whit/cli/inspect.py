"""`whit inspect`: what a .whit file holds and what it needs to run."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from typing import Any

from whit.cli.common import EXIT_OK, add_json, add_threads, print_json, shape_text, size_text, table
from whit.cli.inputs import add_shape, random_feeds
from whit.errors import InvalidArgumentError
from whit.ir import WEIGHT_INPUTS
from whit.model import Model, TensorInfo, load

__all__ = ["add"]

#: Stored tensors that the text lists without --tensors.
_BIGGEST = 5
_TENSOR_KEYS = ("name", "dtype", "shape", "encoding", "bytes", "stored_bytes")


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser(
        "inspect",
        help="show the graph, sizes, memory and metadata of a .whit file",
        description="Shows inputs and outputs, how the file was made, what it stores and what it needs on this "
        "machine, and every operator with its kernel.",
    )
    parser.add_argument("models", metavar="MODEL.whit", nargs="+", help="several go with --ops")
    parser.add_argument(
        "--ops", action="store_true", help="print the operators that the models need, for a trimmed build (WHIT_OPS)"
    )
    parser.add_argument("--tensors", action="store_true", help=f"list all stored tensors, not the {_BIGGEST} biggest")
    add_shape(parser, "plan for these sizes where the file leaves them open (default: 1)")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.ops:
        return _print_operators(arguments)
    if len(arguments.models) > 1:
        raise InvalidArgumentError(
            f"inspect takes one model, or several with --ops, got {len(arguments.models)}; see whit inspect --help"
        )
    path = arguments.models[0]
    with load(path, arguments.threads) as model:
        if arguments.shape:
            model.run(random_feeds(model, arguments.shape))
        summary = _summary(model)
    if arguments.json:
        print_json(summary)
    else:
        _print(path, summary, bool(arguments.shape), arguments.tensors)
    return EXIT_OK


def _print_operators(arguments: argparse.Namespace) -> int:
    """The operators that all the models need together, in alphabetical order."""
    if arguments.shape or arguments.tensors:
        raise InvalidArgumentError("--ops prints operators alone; leave out --shape and --tensors")
    operators: set[str] = set()
    for path in arguments.models:
        with load(path, threads=1) as model:
            operators.update(node["op"] for node in model.nodes())
            if model.has_sparse_weights:
                operators.add("sparse")
            if model.has_coded_weights:
                operators.add("w4")
    if arguments.json:
        print_json({"ops": sorted(operators)})
    else:
        print(" ".join(sorted(operators)))
    return EXIT_OK


# --- facts ---


def _summary(model: Model) -> dict[str, Any]:
    tensors = {item["name"]: item for item in model.tensors()}
    stored = [
        {key: list(item[key]) if key == "shape" else item[key] for key in _TENSOR_KEYS}
        for item in tensors.values()
        if item["constant"]
    ]
    return {
        "format_version": ".".join(str(part) for part in model.format_version),
        "file_bytes": model.file_bytes,
        "isa": model.isa,
        "threads": model.threads,
        "packed_bytes": model.packed_bytes,
        "arena_bytes": model.arena_bytes,
        "inputs": [_info(info) for info in model.inputs],
        "outputs": [_info(info) for info in model.outputs],
        "metadata": model.metadata,
        "nodes": _nodes(model, tensors),
        "stored": _totals(stored),
        "tensors": stored,
    }


def _info(info: TensorInfo) -> dict[str, Any]:
    return {"name": info.name, "dtype": info.dtype, "shape": list(info.shape), "quantization": info.quantization}


def _nodes(model: Model, tensors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The operators in order.

    `kernel` is "view" where nothing is computed, None without a plan: where open sizes taken as 1 do not fit.
    """
    kernels = {item["name"]: item["kernel"] for item in model.kernels()}
    nodes = []
    for node in model.nodes():
        output = tensors[next(name for name in node["outputs"] if name)]
        nodes.append(
            {
                "name": node["name"],
                "op": node["op"],
                "inputs": node["inputs"],
                "outputs": node["outputs"],
                "attributes": node["attributes"],
                "output_dtype": output["dtype"],
                "output_shape": list(output["shape"]),
                "kernel": kernels.get(node["name"], "view") if kernels else None,
                "packed_bytes": node["packed_bytes"],
                "weights": _weights(node, tensors),
            }
        )
    return nodes


def _weights(node: Mapping[str, Any], tensors: Mapping[str, Any]) -> int:
    """How many there are."""
    names = [node["inputs"][position] for position in WEIGHT_INPUTS.get(node["op"], ())]
    return sum(math.prod(tensors[name]["shape"]) for name in names if tensors[name]["constant"])


def _totals(stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the stored tensors sum up to by dtype and encoding, biggest first."""
    totals: dict[tuple[str, str], dict[str, Any]] = {}
    for item in stored:
        key = item["dtype"], item["encoding"]
        total = totals.setdefault(
            key, {"dtype": key[0], "encoding": key[1], "tensors": 0, "bytes": 0, "stored_bytes": 0}
        )
        total["tensors"] += 1
        total["bytes"] += item["bytes"]
        total["stored_bytes"] += item["stored_bytes"]
    return sorted(totals.values(), key=lambda total: -total["stored_bytes"])


# --- text ---


def _print(path: str, summary: Mapping[str, Any], shaped: bool, all_tensors: bool) -> None:
    print(f"{path}: .whit format {summary['format_version']}, {size_text(summary['file_bytes'])}")
    for kind in ("inputs", "outputs"):
        for item in summary[kind]:
            _fact(kind[:-1], f"{item['name']}: {item['dtype']} {shape_text(item['shape'])}{_steps(item)}")
    for label, text in _made(summary["metadata"]):
        _fact(label, text)
    memory = f"{size_text(summary['packed_bytes'])} of packed weights, {size_text(summary['arena_bytes'])} for tensors"
    if any(node["kernel"] is None for node in summary["nodes"]):
        memory = "unknown until the open sizes are: give --shape"
    elif not shaped and any(isinstance(size, str) for item in summary["inputs"] for size in item["shape"]):
        memory += ", open sizes taken as 1"
    _fact("memory", memory)
    _fact("runs on", f"{summary['isa']}, {summary['threads']} thread{'s' * (summary['threads'] != 1)}")
    print()
    header = ("node", "operator", "dtype", "shape", "B/weight", "kernel")
    print(
        table(
            header,
            (
                (
                    node["name"],
                    node["op"],
                    node["output_dtype"],
                    shape_text(node["output_shape"]),
                    f"{node['packed_bytes'] / node['weights']:.2f}" if node["weights"] and node["packed_bytes"] else "",
                    node["kernel"],
                )
                for node in summary["nodes"]
            ),
        )
    )
    if not summary["tensors"]:
        return
    print()
    totals = [
        (total["dtype"], total["encoding"], total["tensors"], size_text(total["stored_bytes"]))
        for total in summary["stored"]
    ]
    print(table(("stored dtype", "encoding", "tensors", "size"), totals))
    shown = sorted(summary["tensors"], key=lambda item: -item["stored_bytes"])
    shown = shown if all_tensors else shown[:_BIGGEST]
    print()
    rows = (
        (item["name"], item["dtype"], shape_text(item["shape"]), item["encoding"], size_text(item["stored_bytes"]))
        for item in shown
    )
    print(table(("stored tensor" if all_tensors else "biggest tensors", "dtype", "shape", "encoding", "size"), rows))


def _fact(label: str, text: str) -> None:
    print(f"{label:11} {text}")


def _steps(item: Mapping[str, Any]) -> str:
    """` scale 0.02, zero point -3` of a quantised input or output."""
    quantization = item["quantization"]
    if quantization is None:
        return ""
    return f", scale {quantization['scale'][0]:.6g}, zero point {quantization['zero_point'][0]}"


#: Metadata that the text leaves to --json: long, or said elsewhere.
_HIDDEN = ("equalization", "report")
_LONG = 24


def _made(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Metadata as lines: what whit writes in words, the rest as JSON. Nothing in it is trusted to be what it should."""
    lines = []
    for key, value in metadata.items():
        if key in _HIDDEN:
            continue
        if key == "preprocess" and isinstance(value, Mapping):
            lines += [(key, f"{name}: {_settings(steps)}") for name, steps in value.items()]
        elif key == "recipe" and isinstance(value, Mapping):
            lines.append((key, _recipe(value)))
        elif isinstance(value, Mapping):
            lines.append((key, _settings(value)))
        else:
            lines.append((key, value if isinstance(value, str) else json.dumps(value)))
    return lines


def _recipe(values: Mapping[str, Any]) -> str:
    """`small: storage archive; quantize (bits 4, calibration (method kl))`."""
    own = {key: value for key, value in values.items() if key not in ("version", "name", "steps")}
    steps = values.get("steps")
    parts = [_settings(own), *(map(_step, steps) if isinstance(steps, list) else ())]
    return f"{values.get('name')}: {'; '.join(filter(None, parts)) or 'as it is'}"


def _step(values: object) -> str:
    if not isinstance(values, Mapping):
        return json.dumps(values)
    settings = _settings({key: value for key, value in values.items() if key != "kind"})
    return f"{values.get('kind')} ({settings})" if settings else f"{values.get('kind')}"


def _settings(values: object) -> str:
    if not isinstance(values, Mapping):
        return json.dumps(values)
    return ", ".join(f"{key} {_value(value)}" for key, value in values.items() if value not in (None, "", [], {}))


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ":".join(map(_value, value))
    if isinstance(value, Mapping):
        return f"({_settings(value)})"
    if isinstance(value, str):
        return value if len(value) <= _LONG else f"{value[:_LONG]}..."
    return json.dumps(value)
