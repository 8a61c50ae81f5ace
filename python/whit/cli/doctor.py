"""`whit doctor`: what whit sees of this machine and why it does what it does."""

from __future__ import annotations

import argparse
import os
import platform
import struct
from importlib import metadata
from typing import Any

import numpy as np

from whit import _core
from whit.cli import system
from whit.cli.common import EXIT_OK, add_json, print_json
from whit.version import __version__

__all__ = ["add"]

#: What `whit[compress]` brings.
_COMPRESS = ("onnx", "onnx-ir", "onnxscript", "pillow", "tqdm")


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser(
        "doctor",
        help="show CPU, instruction set, threads and versions",
        description="Shows what whit sees of this machine, which instruction set and how many threads it takes, and "
        "why. Add this to a report of a problem.",
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    cpu = _core.cpu()
    packages = {name: _version(name) for name in _COMPRESS}
    facts: dict[str, Any] = {
        "whit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "compress": packages,
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "pointer_bits": struct.calcsize("P") * 8,
        "cpu": system.cpu_name(),
        "isa": cpu["isa"],
        "isa_reason": _isa_reason(cpu),
        "isa_detected": cpu["detected"],
        "isa_compiled": cpu["compiled"],
        "isa_active": cpu["active"],
        "threads": cpu["default_threads"],
        "threads_reason": _threads_reason(cpu),
        "state": system.state(),
    }
    if arguments.json:
        print_json(facts)
        return EXIT_OK
    missing = [name for name, version in packages.items() if version is None]
    facts["compress"] = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    if missing:
        facts["compress"] = f"not installed: {', '.join(missing)}; pip install 'whit[compress]'"
    facts["state"] = system.state_text(facts["state"])
    for key, value in facts.items():
        print(f"{key.replace('_', ' '):15} {' '.join(value) if isinstance(value, list) else value}")
    return EXIT_OK


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _isa_reason(cpu: dict[str, Any]) -> str:
    wanted = os.environ.get("WHIT_ISA")
    if wanted:
        return f"WHIT_ISA={wanted} allows nothing above it"
    unused = [name for name in cpu["detected"] if name not in cpu["compiled"]]
    reason = "the best level that this CPU has and this build has kernels for"
    return f"{reason} (no kernels yet for {' '.join(unused)})" if unused else reason


def _threads_reason(cpu: dict[str, Any]) -> str:
    wanted = os.environ.get("WHIT_NUM_THREADS")
    if wanted:
        return f"WHIT_NUM_THREADS={wanted}"
    online = os.cpu_count() or 1
    if cpu["available_cpus"] < online:
        return f"affinity mask or cgroup quota leave {cpu['available_cpus']} of {online} CPUs"
    return "one for each CPU"
