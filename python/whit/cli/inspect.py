"""`whit inspect`: what a .whit file holds and what it needs to run."""

from __future__ import annotations

import argparse
from typing import Any

from whit.cli.common import EXIT_OK, add_json, add_threads, print_json, size_text, table
from whit.model import Model, TensorInfo, load

__all__ = ["add"]


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser("inspect", help="show the graph, sizes, memory and metadata of a .whit file")
    parser.add_argument("model", metavar="MODEL.whit")
    parser.add_argument("--tensors", action="store_true", help="list the stored tensors too")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    with load(arguments.model, arguments.threads) as model:
        summary = _summary(model)
    if arguments.json:
        print_json(summary)
        return EXIT_OK
    print(f"{arguments.model}: .whit {summary['format_version']}, {size_text(summary['file_bytes'])}")
    for kind in ("inputs", "outputs"):
        for item in summary[kind]:
            print(f"{kind[:-1]:7} {item['name']}: {item['dtype']} {item['shape']}")
    print(
        f"needs   {size_text(summary['packed_bytes'])} of packed weights ({summary['isa']}), "
        f"{size_text(summary['arena_bytes'])} for tensors"
    )
    for key, value in summary["metadata"].items():
        print(f"{key}: {value}")
    print()
    nodes = [(n["name"], n["op"], n["output_dtype"], n["output_shape"], n["kernel"]) for n in summary["nodes"]]
    print(table(("node", "operator", "dtype", "shape", "kernel"), nodes))
    if arguments.tensors:
        print()
        rows = [(t["name"], t["dtype"], t["shape"], t["encoding"], t["stored_bytes"]) for t in summary["tensors"]]
        print(table(("stored tensor", "dtype", "shape", "encoding", "bytes"), rows))
    return EXIT_OK


def _info(info: TensorInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "dtype": info.dtype,
        "shape": list(info.shape),
        "quantization": info.quantization,
    }


def _summary(model: Model) -> dict[str, Any]:
    tensors = {item["name"]: item for item in model.tensors()}
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
                "kernel": kernels.get(node["name"], "view"),
            }
        )
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
        "nodes": nodes,
        "tensors": stored,
    }


_TENSOR_KEYS = ("name", "dtype", "shape", "encoding", "bytes", "stored_bytes")
