"""Top-1 of int8 models beside their f32 originals, on photos that calibration did not see.

    python bench/accuracy.py --shared ../shared [--models efficientnet_lite0 mobilenet_v2] [--json]

Three contestants on the same photos: the f32 model in onnxruntime; whit's recipe int8; and onnxruntime's own static
quantiser as its documentation shows it: quant_pre_process, then quantize_static with QuantFormat.QDQ, per_channel=True
and otherwise its defaults (s8 weights and activations, min-max calibration). Both quantisers calibrate on every tenth
photo; all three are judged on the others. The photos are one per class in class order, file name = class index.

The photos are probably training images: read the differences between contestants, not the accuracies.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import whit
from whit.preprocess import PRESETS, Preprocess
from whit.progress import progress

ROOT = Path(__file__).resolve().parents[1]
MODELS = {"efficientnet_lite0": PRESETS["tf"], "mobilenet_v2": PRESETS["imagenet"]}
CALIBRATION_STEP = 10

#: An image [1, 3, H, W] -> logits [classes].
Classifier = Callable[[np.ndarray], np.ndarray]


@dataclass
class Result:
    model: str
    contestant: str
    file_bytes: int
    correct: int
    photos: int
    top1_percent: float
    drop_points: float  # against f32
    agreement_percent: float  # same class as f32
    snr_db: float  # of the logits against f32
    prepare_seconds: float


def load_photos(folder: Path, steps: Preprocess, cache: Path, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Normalised photos f32 [N, 3, H, W] (kept on disk) and their classes."""
    paths = sorted(folder.glob("*.jpg"))[:limit]
    if not paths:
        sys.exit(f"no photos in {folder}")
    first = steps.apply(paths[0])
    images = np.lib.format.open_memmap(cache, mode="w+", dtype=np.float32, shape=(len(paths), *first.shape))
    for index, path in enumerate(progress(paths, label="decode photos")):
        images[index] = steps.apply(path)
    images.flush()
    return np.load(cache, mmap_mode="r"), np.array([int(path.name[:4]) for path in paths])


def onnx_classifier(path: Path) -> Classifier:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: np.asarray(session.run(None, {name: image})[0])[0]


def quantize_with_onnxruntime(model: Path, out: Path, samples: np.ndarray) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self.feeds: Iterator[dict[str, np.ndarray]] = iter({name: sample[None]} for sample in samples)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    import onnx

    prepared = out.with_suffix(".prepared.onnx")
    quant_pre_process(str(model), str(prepared))
    name = onnx.load(str(model), load_external_data=False).graph.input[0].name
    logging.disable(logging.WARNING)
    quantize_static(str(prepared), str(out), Reader(name), quant_format=QuantFormat.QDQ, per_channel=True)
    logging.disable(logging.NOTSET)


def logits_of(classifier: Classifier, images: np.ndarray, indices: np.ndarray, label: str) -> np.ndarray:
    return np.stack([classifier(np.ascontiguousarray(images[i])[None]) for i in progress(indices, label=label)])


def measure(name: str, folder: Path, shared: Path, recipe: object, limit: int | None) -> list[Result]:
    steps = MODELS[name]
    model = shared / "models" / f"{name}.onnx"
    images, classes = load_photos(shared / "data" / "imagenet1k_sample256", steps, folder / f"{name}.npy", limit)
    everything = np.arange(len(images))
    tested = everything[everything % CALIBRATION_STEP != 0]
    samples = images[::CALIBRATION_STEP]

    whit_file, ort_file = folder / f"{name}.whit", folder / f"{name}.qdq.onnx"
    start = time.perf_counter()
    whit.compress(model, whit_file, recipe, samples, preprocess=steps)
    middle = time.perf_counter()
    quantize_with_onnxruntime(model, ort_file, samples)
    end = time.perf_counter()
    loaded = whit.load(whit_file)
    contestants: list[tuple[str, Path, Classifier, float]] = [
        ("f32 onnxruntime", model, onnx_classifier(model), 0.0),
        ("int8 whit", whit_file, lambda image: np.asarray(loaded(image))[0], middle - start),
        ("int8 onnxruntime", ort_file, onnx_classifier(ort_file), end - middle),
    ]
    results: list[Result] = []
    reference = np.zeros(0)
    for label, path, classifier, seconds in contestants:
        logits = logits_of(classifier, images, tested, f"{name}: {label}").astype(np.float64)
        if not results:
            reference = logits
        chosen = logits.argmax(1)
        correct = int((chosen == classes[tested]).sum())
        noise = float(np.square(logits - reference).sum())
        results.append(
            Result(
                model=name,
                contestant=label,
                file_bytes=path.stat().st_size,
                correct=correct,
                photos=len(tested),
                top1_percent=round(100 * correct / len(tested), 2),
                drop_points=round(100 * ((results[0].correct if results else correct) - correct) / len(tested), 2),
                agreement_percent=round(100 * float((chosen == reference.argmax(1)).mean()), 2),
                snr_db=round(10 * float(np.log10(np.square(reference).sum() / noise)), 2) if noise else 200.0,
                prepare_seconds=round(seconds, 1),
            )
        )
    (folder / f"{name}.npy").unlink()
    return results


def table(results: list[Result]) -> str:
    head = ("model", "contestant", "MB", "right", "top-1 %", "drop", "as f32 %", "SNR dB")
    lines = ["{:20} {:18} {:>7} {:>9} {:>8} {:>6} {:>9} {:>7}".format(*head)]
    for r in results:
        size = f"{r.file_bytes / 1e6:.2f}"
        lines.append(
            f"{r.model:20} {r.contestant:18} {size:>7} {f'{r.correct}/{r.photos}':>9} {r.top1_percent:8.2f} "
            f"{r.drop_points:6.2f} {r.agreement_percent:9.2f} {r.snr_db:7.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = os.environ.get("WHIT_SHARED", ROOT.parent / "shared")
    parser.add_argument("--shared", type=Path, default=Path(default), help="folder with models/ and data/")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--recipe", default='"int8"', help="a recipe as JSON")
    parser.add_argument("--limit", type=int, help="use the first N photos only")
    parser.add_argument("--json", action="store_true", help="write bench/results/accuracy.json")
    arguments = parser.parse_args()

    recipe = json.loads(arguments.recipe)
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models:
            results += measure(name, Path(folder), arguments.shared, recipe, arguments.limit)
    print(table(results))
    if arguments.json:
        import onnxruntime

        out = ROOT / "bench" / "results" / "accuracy.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "command": "python bench/accuracy.py --json",
            "recipe": recipe,
            "whit": whit.__version__,
            "onnxruntime": onnxruntime.__version__,
            "calibration": f"every {CALIBRATION_STEP}th photo",
            "results": [asdict(result) for result in results],
        }
        out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
