"""How fast the default coder gives weights back, on one thread."""

from __future__ import annotations

import io
import os
import time

import numpy as np

import whit
from bench.compression.lossless import files
from bench.compression.table import Context, Row, verdict

LEAST, AIM = 300.0, 800.0
ROUNDS = 25


def run(context: Context) -> Row:
    """Loads s8 EfficientNet-Lite0 stored dense and coded, in turn, on one CPU; the difference is what decoding takes.

    The median of the differences of neighbouring loads: whatever else the machine does meets both alike.
    """
    dense_file, coded_file = files(context, "dense", "coded")
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    try:
        times = [(_load(dense_file), _load(coded_file)) for _ in range(ROUNDS)]
    finally:
        os.sched_setaffinity(0, usable)
    seconds = float(np.median([coded - dense for dense, coded in times]))
    least = min(coded for _, coded in times) - min(dense for dense, _ in times)
    size = len(dense_file) / 1e6
    speed = size / seconds
    return Row(
        "decode",
        "decode speed of the default coder (storage coded), one thread, s8 EfficientNet-Lite0",
        f"{LEAST:g} MB/s of decoded weights",
        f"{AIM:g}",
        f"{speed:.0f} MB/s",
        verdict(speed, LEAST, AIM),
        {
            "dense bytes": len(dense_file),
            "coded bytes": len(coded_file),
            "seconds of decoding": seconds,
            "seconds of loading, dense": float(np.median([dense for dense, _ in times])),
            "seconds of loading, coded": float(np.median([coded for _, coded in times])),
            "seconds of decoding, from the shortest loads": least,
            "rounds": ROUNDS,
        },
    )


def _load(file: bytes) -> float:
    source = io.BytesIO(file)
    start = time.perf_counter()
    whit.load(source, threads=1)
    return time.perf_counter() - start
