"""Makes what tests/capi/run feeds to the examples, and the answers that the Python runtime gives.

python tests/capi/answers.py DIR
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

import numpy as np

import whit
from whit.cli import main as command_line

PICTURES, GREY = 12, 15
PIXELS = "pixels"  # the same model with its preprocessing folded in
NAMES = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht"]  # none for 9


def label(index: int) -> str:
    return f" {NAMES[index]}" if index < len(NAMES) else ""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    assets = resources.files("whit") / "demo"
    with resources.as_file(assets / "digits.npz") as path, np.load(path) as data:
        calibration, images = data["calibration_images"], data["test_images"][:PICTURES]
    path = folder / "digits.whit"
    # A mean, a std and a scale that are not 1: the examples must read them all.
    steps = whit.preprocess.Preprocess.parse(f"channels=gray,scale=1/{GREY * 16},mean=.25,std=.0625")
    samples = np.stack([steps.apply(image[0] * np.uint8(GREY)) for image in calibration])
    whit.compress((assets / "digits.onnx").read_bytes(), path, "int8", {"image": samples}, preprocess={"image": steps})
    folded = folder / f"{PIXELS}.whit"
    grey = np.stack([image[0] * np.uint8(GREY) for image in calibration])[..., None]
    onnx = (assets / "digits.onnx").read_bytes()
    whit.compress(onnx, folded, {"inputs": "u8"}, {"image": grey}, preprocess={"image": steps})
    if command_line(["export-c", str(path), "-o", str(folder / "classify_model.c")]) != 0:
        raise SystemExit("export-c failed")
    (folder / "labels.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")

    frames, best = b"", []
    with whit.load(path, threads=1) as model:
        for number, image in enumerate(images):
            pixels = image[0] * np.uint8(GREY)
            frames += pixels.tobytes()
            values = steps.apply(pixels)[None]
            scores = model(values)[0]
            order = np.argsort(-scores, kind="stable")[:5]
            top = "".join(f"{i} {scores[i]:.6g}{label(i)}\n" for i in order)
            (folder / f"{number}.raw").write_bytes(pixels.tobytes())
            (folder / f"{number}.top").write_text(top, encoding="utf-8")
            best.append(f"frame {number}: {order[0]} {scores[order[0]]:.6g}{label(order[0])}\n")
            if number == 0:
                (folder / "input.raw").write_bytes(values.tobytes())
                (folder / "profile.txt").write_text("logits:" + "".join(f" {x:.6g}" for x in scores) + "\n")
    (folder / PIXELS).mkdir(exist_ok=True)
    with whit.load(folded, threads=1) as model:
        for number, image in enumerate(images):
            pixels = image[0] * np.uint8(GREY)
            scores = model(pixels[None, :, :, None])[0]
            order = np.argsort(-scores, kind="stable")[:5]
            top = "".join(f"{i} {scores[i]:.6g}{label(i)}\n" for i in order)
            (folder / PIXELS / f"{number}.raw").write_bytes(pixels.tobytes())
            (folder / PIXELS / f"{number}.top").write_text(top, encoding="utf-8")
    (folder / "frames.raw").write_bytes(frames)
    (folder / "frames.txt").write_text("".join(best), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
