"""Runs models and keeps what came out, or compares it with what came out elsewhere. Needs whit and numpy alone.

    python exercise.py record FOLDER          for every FOLDER/*.whit, writes *.inputs.npz and *.expected.npz beside it
    python exercise.py check FOLDER LEVEL     runs the same here; exits with 1 if anything differs

`check` wants the instruction set LEVEL to be in use. Every tensor of integers, outputs and intermediate ones alike,
must be equal to the byte; floats within 1e-5 of the largest value of their tensor: they may be added in another order.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import numpy as np

import whit
from whit.dtypes import NUMPY_DTYPES

INTEGERS = ("s8", "u8", "s32")


def inputs_of(model: whit.Model) -> dict[str, np.ndarray]:
    """Random inputs; a size that is known only at run time becomes 2."""
    random = np.random.default_rng(7)
    feeds = {}
    for info in model.inputs:
        shape = [size if isinstance(size, int) else 2 for size in info.shape]
        values = random.standard_normal(shape).astype(np.float32)
        if info.dtype != "f32":
            values = np.clip(values * 50, -128, 127)
        feeds[info.name] = values.astype(NUMPY_DTYPES[info.dtype])
    return feeds


def results(model: whit.Model, feeds: dict[str, np.ndarray], threads: int) -> dict[str, np.ndarray]:
    """The outputs, and every integer tensor that a node inside the model makes."""
    made = {name for node in model.nodes() for name in node["outputs"]}
    inner = [item["name"] for item in model.tensors() if item["dtype"] in INTEGERS and item["name"] in made]
    outputs = {info.name for info in model.outputs}
    return model.session(threads, observe=[name for name in inner if name not in outputs]).run(feeds)


def record(folder: pathlib.Path) -> None:
    for path in sorted(folder.glob("*.whit")):
        with whit.load(path, threads=1) as model:
            feeds = inputs_of(model)
            np.savez(path.with_suffix(".inputs.npz"), **feeds)
            found = results(model, feeds, threads=1)
            np.savez(path.with_suffix(".expected.npz"), **found)
        print(f"{path.name}: {len(found)} tensors")


def differences(wanted: dict[str, np.ndarray], got: dict[str, np.ndarray]) -> list[str]:
    if wanted.keys() != got.keys():
        return [f"other tensors: {sorted(wanted.keys() ^ got.keys())}"]
    found = []
    for name, expected in wanted.items():
        value = got[name]
        if value.dtype != expected.dtype or value.shape != expected.shape:
            found.append(f"{name}: {value.dtype} {value.shape} instead of {expected.dtype} {expected.shape}")
        elif expected.dtype.kind == "f":
            error, largest = float(np.abs(value - expected).max()), float(np.abs(expected).max())
            if not error <= 1e-5 * largest:
                found.append(f"{name}: off by {error:g}, largest value {largest:g}")
        elif not np.array_equal(value, expected):
            found.append(f"{name}: {np.count_nonzero(value != expected)} of {value.size} values differ")
    return found


def check(folder: pathlib.Path, level: str) -> int:
    problems = []
    paths = sorted(folder.glob("*.whit"))
    for path in paths:
        with whit.load(path, threads=1) as model:
            if model.isa != level:
                problems.append(f"{path.name}: runs on {model.isa}, not on {level}")
            feeds = dict(np.load(path.with_suffix(".inputs.npz")))
            wanted = dict(np.load(path.with_suffix(".expected.npz")))
            problems += [f"{path.name}: {text}" for text in differences(wanted, results(model, feeds, threads=2))]
            # Unobserved, results take other places in memory; into the caller's buffer, yet others.
            names = [info.name for info in model.outputs]
            out = {name: np.empty_like(wanted[name]) for name in names}
            model.run(feeds, out=out)
            problems += [f"{path.name}: {text}" for text in differences({n: wanted[n] for n in names}, out)]
            profile = model.profile(feeds, runs=1)
            scalar = kernels_without_instructions(model, level)
            integers = sum(value.dtype.kind in "iu" for value in wanted.values())
            print(
                f"{path.name}: {model.isa}, {integers} tensors of integers and {len(wanted) - integers} of floats, "
                f"{len(profile.nodes)} operators; without {level}: {', '.join(scalar) or 'none'}"
            )
            if not profile.nodes or ("int8" in path.name and not integers):
                problems.append(f"{path.name}: {len(profile.nodes)} operators profiled, {integers} integer tensors")
    if not paths:
        problems.append(f"no models in {folder}")
    if problems:
        print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


def kernels_without_instructions(model: whit.Model, level: str) -> list[str]:
    """Kernels in use that are plain C++ though the level has instructions."""
    names: set[str] = {str(item["kernel"]) for item in model.kernels()}
    return sorted(name for name in names if level != "scalar" and name.endswith("_scalar"))


def main(arguments: list[str]) -> Any:
    if len(arguments) == 2 and arguments[0] == "record":
        return record(pathlib.Path(arguments[1]))
    if len(arguments) == 3 and arguments[0] == "check":
        return check(pathlib.Path(arguments[1]), arguments[2])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
