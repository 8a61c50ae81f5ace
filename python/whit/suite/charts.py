"""The suite's results as pictures: of one machine, or of two side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from whit.draw.svg import Panel, Row, bar_chart
from whit.suite.results import Result, SuiteResults

__all__ = ["chart", "comparison_chart"]

#: Title, unit, groups and the value of each panel.
_PANELS: tuple[tuple[str, str, Callable[[str], bool], Callable[[Result], float | None]], ...] = (
    ("Networks, one image; shorter is better", "ms", lambda group: group == "network", lambda r: r.median_ms),
    ("Call of a model of one small layer; shorter is better", "us", lambda g: g == "call", lambda r: r.median_ms * 1e3),
    (
        "Layers; longer is better",
        "GOP/s",
        lambda group: group not in ("network", "call", "elementwise"),
        lambda r: r.gops,
    ),
    ("Element by element; longer is better", "GB/s", lambda group: group == "elementwise", lambda r: r.gb_s),
)


def chart(suite: SuiteResults) -> str:
    """One machine: a bar for each number of threads."""
    threads = sorted({result.threads for result in suite.results})
    series = [f"{count} thread{'s' * (count != 1)}" for count in threads]
    cases = dict.fromkeys((result.name, result.dtype) for result in suite.results)
    found = {result.key: result for result in suite.results}
    keys = [(f"{name} {dtype}", [(name, dtype, count) for count in threads]) for name, dtype in cases]
    panels = _panels(keys, [found] * len(threads))
    return bar_chart(f"whit {suite.whit} on {suite.cpu}", series, panels, _about(suite))


def comparison_chart(a: SuiteResults, b: SuiteResults, names: tuple[str, str]) -> str:
    """Two machines (or versions): what both measured, on one thread and on the most that both used."""
    in_a, in_b = ({result.key: result for result in suite.results} for suite in (a, b))
    common = [key for key in in_a if key in in_b]
    threads = sorted({key[2] for key in common})
    shown = [key for key in common if key[2] in threads[:1] + threads[-1:]]
    keys = [(f"{name} {dtype}, {count}T", [(name, dtype, count)] * 2) for name, dtype, count in shown]
    series = [
        f"{letter}: {name} ({suite.cpu}, {suite.isa})" for letter, name, suite in zip("AB", names, (a, b), strict=True)
    ]
    return bar_chart("whit bench: A and B", series, _panels(keys, [in_a, in_b]))


def _panels(
    keys: Sequence[tuple[str, list[tuple[str, str, int]]]], tables: Sequence[dict[tuple[str, str, int], Result]]
) -> list[Panel]:
    """Rows of label and key in each of the tables."""
    panels = []
    for title, unit, is_member, value in _PANELS:
        rows = []
        for label, places in keys:
            found = [table.get(key) for key, table in zip(places, tables, strict=True)]
            if any(result is not None and is_member(result.group) for result in found):
                rows.append(Row(label, [None if result is None else value(result) for result in found]))
        panels.append(Panel(title, unit, rows))
    return panels


def _about(suite: SuiteResults) -> str:
    state = "" if suite.valid else "; the machine was disturbed"
    return f"{suite.isa}, {suite.cpus} CPUs, {suite.date[:10]}{'' if suite.complete else '; interrupted'}{state}"
