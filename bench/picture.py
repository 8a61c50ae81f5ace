"""Pictures of the tables: SVG, one bar a contender, with the range of its measurements."""

from __future__ import annotations

from collections.abc import Sequence

from bench import report, startup
from whit.draw.svg import Panel, Row, bar_chart


def of_tables(stem: str, rows: Sequence[report.Row]) -> dict[str, str]:
    """File name without ending -> SVG, one for each table of the command `stem` in which somebody was timed."""
    unit, scale = ("ms", 1e3) if stem == "models" else ("us", 1e6)
    result = {}
    for table, of_cases in report.tables(rows).items():
        names = report.contenders_of([row for mine in of_cases.values() for row in mine])
        best = {case: [report.best(mine, name) for name in names] for case, mine in of_cases.items()}
        bars = [
            Row(
                case,
                [row.median * scale if row and row.median else None for row in mine],
                [(row.min * scale, row.max * scale) if row and row.min and row.max else None for row in mine],
            )
            for case, mine in best.items()
        ]
        if any(value for row in bars for value in row.values):
            name = "-".join(filter(None, (stem, table[1], f"{table[2]}t", table[0])))
            panel = Panel("one inference, median and range, shorter is better", unit, bars, log=True)
            result[name] = bar_chart(f"{stem}, {report.title(table)}", names, [panel])
    return result


def of_startup(stem: str, rows: Sequence[startup.Startup]) -> dict[str, str]:
    """File name without ending -> SVG, one for each time of startup.TIMES that somebody has."""
    result = {}
    for key in startup.TIMES:
        timed = [(row, getattr(row, key)) for row in rows if getattr(row, key)]
        if timed:
            what = key.partition("_")[0]
            bars = [Row(f"{row.contender} {row.variant}", [value], [tuple(row.spread[key])]) for row, value in timed]
            panel = Panel(f"{what}, median and range, shorter is better", "ms", bars, log=True)
            result[f"{stem}-{what}"] = bar_chart(f"{rows[0].case}: {what}", ["median"], [panel])
    return result
