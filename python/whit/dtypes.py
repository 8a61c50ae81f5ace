"""The dtypes of tensors, spelled as in the file format, and their numpy counterparts."""

from __future__ import annotations

import numpy as np

__all__ = ["DTYPES", "NUMPY_DTYPES", "dtype_of"]

#: Names in the order of their numbers in the file format (docs/FORMAT.md).
DTYPES = ("f32", "s8", "u8", "s32", "s16", "f16", "b1", "s4", "t2", "p4")

#: The dtypes that one array element holds as it is.
NUMPY_DTYPES: dict[str, np.dtype] = {
    "f32": np.dtype("<f4"),
    "s8": np.dtype("i1"),
    "u8": np.dtype("u1"),
    "s32": np.dtype("<i4"),
    "s16": np.dtype("<i2"),
    "f16": np.dtype("<f2"),
}


def dtype_of(array: np.ndarray) -> str:
    """The whit dtype of a numpy array; `KeyError` if it has none."""
    return {dtype: name for name, dtype in NUMPY_DTYPES.items()}[array.dtype.newbyteorder("<")]
