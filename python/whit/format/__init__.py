"""The .whit file: writing it. docs/FORMAT.md specifies it; csrc/model reads it."""

from whit.format.writer import save, store, write

__all__ = ["save", "store", "write"]
