"""Frames in a loop, with nothing of the size of a tensor allocated in it.

    python frames.py MODEL.whit FRAMES.raw [LABELS.txt]

FRAMES.raw holds frames one after the other, each with the pixels in exactly the height, width and channels that the
model takes, one byte each; put a camera's `read` in the place of `read_frames`. Needs numpy and whit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import whit


def read_frames(path: str, frame: np.ndarray) -> Iterator[None]:
    """Fills `frame` again and again, as a camera's driver does."""
    with open(path, "rb") as file:
        while file.readinto(memoryview(frame).cast("B")) == frame.nbytes:
            yield


def main(model_path: str, frames_path: str, labels_path: str | None = None) -> None:
    """Prints the best class of every frame."""
    labels = Path(labels_path).read_text(encoding="utf-8").splitlines() if labels_path else []
    with whit.load(model_path) as model:
        (info,), (result,) = model.inputs, model.outputs
        steps = model.metadata["preprocess"][info.name]
        shape = tuple(size if isinstance(size, int) else 1 for size in info.shape)
        channels_first = steps["layout"] == "NCHW"

        # Everything that the loop needs, made once. `view` is `values` seen as height x width x channels.
        values = np.empty(shape, np.uint8 if info.dtype == "u8" else np.float32)
        view = values[0].transpose(1, 2, 0) if channels_first else values[0]
        frame = np.empty(view.shape, np.uint8)
        pixels = frame[..., ::-1] if steps["channels"] == "BGR" else frame
        mean, std = (np.asarray(steps[key], np.float32) for key in ("mean", "std"))
        feeds = {info.name: values}
        scores = np.empty(tuple(size if isinstance(size, int) else 1 for size in result.shape), np.float32)
        out = {result.name: scores}

        for number, _ in enumerate(read_frames(frames_path, frame)):
            if info.dtype == "u8":  # compressed with inputs "u8": the model takes the pixels themselves
                np.copyto(view, pixels)
            else:
                np.multiply(pixels, steps["scale"], out=view, dtype=np.float64, casting="same_kind")
                np.subtract(view, mean, out=view)
                np.divide(view, std, out=view)
            model.run(feeds, out=out)
            best = int(scores[0].argmax())
            print(f"frame {number}: {best} {scores[0, best]:.6g} {labels[best] if best < len(labels) else ''}".rstrip())


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
