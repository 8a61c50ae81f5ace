"""The bench is not part of the package: it lies beside it in the checkout."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
for folder in (pathlib.Path(__file__).parent, ROOT):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
