"""One training with a checkpoint, for a process that is killed: train_worker.py CHECKPOINT OUT SLEEP."""

from __future__ import annotations

import pathlib
import sys
import time

_TESTS = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(_TESTS), str(_TESTS / "optimize"), str(pathlib.Path(__file__).parent)]

import tasks  # noqa: E402
import torch  # noqa: E402

import whit.train  # noqa: E402


def main(checkpoint: str, out: str, sleep: float) -> None:
    torch.set_num_threads(1)
    x, y = tasks.points()
    result = whit.train.fine_tune(
        tasks.mlp(),
        x,
        y,
        epochs=6,
        batch_size=32,
        learning_rate=2e-2,
        relative=True,
        seed=3,
        techniques=[
            whit.train.Pruning(sparsity=0.7, end=0.6, importance="taylor"),
            whit.train.WeightQuantization(bits=4, begin=0.3, scale="learned"),
            whit.train.ActivationQuantization(begin=0.4, batches=2, momentum=0.9, freeze=0.8),
        ],
        augment=lambda batch, generator: batch + 0.01 * torch.randn(batch.shape, generator=generator),
        checkpoint=checkpoint,
        checkpoint_every=7,  # in the middle of epochs
        progress=lambda label, done, total: time.sleep(sleep),
    )
    ranges = repr(sorted(result.ranges.items())).encode()
    constants = [tensor.data.tobytes() for tensor in result.graph.tensors.values() if tensor.is_constant]
    pathlib.Path(out).write_bytes(b"".join(constants) + repr(result.losses).encode() + ranges)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
