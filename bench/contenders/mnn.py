"""MNN, with the files of its own converter and its own static quantiser: its converter cannot read QDQ files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contenders.base import Contender, Prepared, Runner

if TYPE_CHECKING:
    from bench.files import Files

# The native tools of the package. Their command lines (MNN.tools.mnnconvert, mnnquant) must not be used: importing them
# installs packages with pip and asks a server for leave to send statistics.
_TOOL = "import sys, _tools; getattr(_tools, sys.argv[1])(sys.argv[1:])"


class Mnn(Contender):
    name = "mnn"
    module = "MNN"
    distribution = "MNN"
    variants = {"s8": "s8", "f32": "f32"}  # noqa: RUF012
    amx = False

    def prepare(self, files: Files, variant: str) -> Prepared:
        source = files.f32().paths[0]

        def convert(out: Path) -> None:
            _run("mnnconvert", out, "-f", "ONNX", "--modelFile", source, "--MNNModel", str(out), "--bizCode", "bench")

        def quantize(out: Path) -> None:
            with tempfile.TemporaryDirectory() as folder:
                samples = files.samples().reshape(-1, *files.input_shape())
                settings = _calibration(Path(folder), samples, *files.names())
                made = Path(folder) / "s8.mnn"
                _run("mnnquant", made, str(f32), str(made), str(settings))
                shutil.copyfile(made, out)

        f32 = files.made("f32.mnn", convert)
        if variant == "f32":
            return Prepared([str(f32)])
        path = files.made("s8.mnn", quantize)
        return Prepared([str(path)], note="quantises its f32 input" if files.case.layer else "")

    def load(self, prepared: Prepared, threads: int) -> Runner:
        return _Runner(self.imported(), prepared, threads)


class _Runner(Runner):
    def __init__(self, mnn: Any, prepared: Prepared, threads: int) -> None:
        self.mnn = mnn
        self.interpreter = mnn.Interpreter(prepared.paths[0])
        settings = {"backend": "CPU", "numThread": threads, "precision": "high", "memory": "high"}
        self.session = self.interpreter.createSession(settings)

    def feed(self, x: np.ndarray) -> None:
        self.input = self.interpreter.getSessionInput(self.session)
        if tuple(self.input.getShape()) != x.shape:
            raise ValueError(f"MNN's converter made the input {self.input.getShape()} of {x.shape}")
        values = np.ascontiguousarray(x)
        layout = self.mnn.Tensor_DimensionType_Caffe
        self.input.copyFrom(self.mnn.Tensor(x.shape, self.mnn.Halide_Type_Float, values, layout))

    def run(self) -> object:
        return self.interpreter.runSession(self.session)

    def result(self) -> np.ndarray:
        output = self.interpreter.getSessionOutput(self.session)
        shape = output.getShape()
        layout = self.mnn.Tensor_DimensionType_Caffe
        values = np.zeros(shape, np.float32)
        copy = self.mnn.Tensor(shape, self.mnn.Halide_Type_Float, values, layout)
        output.copyToHostTensor(copy)
        return np.array(copy.getData(), np.float32).reshape(shape)


def _calibration(folder: Path, samples: np.ndarray, first: str, last: str) -> Path:
    """Writes inputs of the quantiser as it wants them, and its settings; returns the path of these."""
    for i, sample in enumerate(samples):
        one = folder / "data" / f"input_{i}"
        one.mkdir(parents=True)
        ends = {"inputs": [{"name": first, "shape": list(sample.shape)}], "outputs": [last]}
        (one / "input.json").write_text(json.dumps(ends))
        np.savetxt(one / f"{first}.txt", sample.ravel(), fmt="%g")
    settings = {
        "path": f"{folder / 'data'}/",
        "input_type": "sequence",
        "used_sample_num": len(samples),
        "batch_size": 1,
        "quant_bits": 8,
        "feature_quantize_method": "KL",
        "weight_quantize_method": "MAX_ABS",
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(settings))
    return path


def _run(tool: str, out: Path, *arguments: str) -> None:
    call = [sys.executable, "-c", _TOOL, tool, *arguments]
    done = subprocess.run(call, capture_output=True, text=True, timeout=600)
    if done.returncode or not out.exists():
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise ValueError(f"{tool} failed with code {done.returncode}: {' '.join(last)}")
