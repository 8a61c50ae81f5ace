"""The adaptive coder writes what the decoder in plain Python reads, whichever way its model goes."""

from __future__ import annotations

from types import SimpleNamespace

import decoder_coders
import numpy as np
import pytest

from whit import _core

RANDOM = np.random.default_rng(0)
FILTERS = np.cumsum(RANDOM.normal(size=(60, 9)), axis=1)
# Three kinds of rows: what a row is like stands before it and far before it.
ALIKE = RANDOM.normal(size=(3, 300))[np.arange(40) // 3 % 3] + 0.5 * RANDOM.normal(size=(40, 300))
CASES = {
    "predicted": np.rint(FILTERS / np.abs(FILTERS).max(1, keepdims=True) * 127).astype(np.int8),
    "rows alike": np.rint(ALIKE / np.abs(ALIKE).max(1, keepdims=True) * 127).astype(np.int8),
    "sparse": np.rint(RANDOM.normal(size=(90, 6)) * 30 * (RANDOM.random((90, 6)) < 0.3)).astype(np.int8),
    "extremes": np.where(RANDOM.random((40, 12)) < 0.5, -128, 127).astype(np.int8),
    "constant": np.full((50, 5), -128, np.int8),
    "more columns than rows": RANDOM.integers(-128, 128, (5, 70)).astype(np.int8),
    "one": np.zeros((1, 1), np.int8),
}


@pytest.mark.parametrize("name", CASES)
def test_python_reads_what_the_coder_writes(name: str) -> None:
    data = CASES[name]
    row, plane = data.shape[-1], data[0].size
    payload = _core.AdaptiveEncoder().encode(data.tobytes(), 8, False, row, plane, 0)
    values = SimpleNamespace(bits=8, is_real=False, row=row, plane=plane, elements=data.size)
    symbols = decoder_coders.decode_adaptive(payload, values, 0, decoder_coders.Chain(), False)
    assert bytes(symbols[0]) == data.tobytes()
