"""Automatic compression: the settings of every layer chosen so that the model stays within budgets.

    from whit.compression.search import Budget, search

    found = search("model.onnx", Budget(max_drop=1.0), data="photos/", evaluation="test/")
    whit.compress("model.onnx", "model.whit", found.recipe, "photos/")

How: the damage that each candidate does to each layer is measured once (`points.py`), damages and costs are added up
and traded against each other (`solver.py`), and recipes along the resulting front are tried in full until the budgets
are met (`run.py`). Everything measured goes into a journal (`journal.py`), so that a search that was killed goes on.
"""

from whit.compression.search.budget import TARGETS, Budget
from whit.compression.search.candidates import CANDIDATES
from whit.compression.search.points import Point
from whit.compression.search.run import SearchResult, search

__all__ = ["CANDIDATES", "TARGETS", "Budget", "Point", "SearchResult", "search"]
