"""Types of annotations. The type checker does not look into torch."""

from __future__ import annotations

from typing import Any

__all__ = ["Tensor"]

#: A torch.Tensor.
Tensor = Any
