"""The .whit file: writing it. docs/FORMAT.md specifies it; csrc/model reads it."""

from whit.format.writer import save, write

__all__ = ["save", "write"]
