"""Rows of the table that bits are judged by: what is asked for, and the worst of what was reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.compression.table import Row, verdict


def judge(
    name: str,
    what: str,
    values: Mapping[str, float],
    least: float,
    aim: float,
    missing: str = "not measured",
    less: bool = False,
) -> Row:
    """A row that the worst of `values` decides, by what they are of: the least, or with `less` the largest.

    Of none it says `missing`, and is not judged.
    """
    if not values:
        return Row(name, what, f"{least:g}", f"{aim:g}", missing, "")
    sign = -1 if less else 1
    worst = sign * min(sign * value for value in values.values())
    each = ", ".join(f"{key}: {value:.3g}" for key, value in values.items())
    met = verdict(sign * worst, sign * least, sign * aim)
    return Row(name, what, f"{least:g}", f"{aim:g}", f"{worst:.3g} ({each})", met, {**values})


def markdown(rows: Iterable[Row]) -> str:
    lines = ["| what | at least | aim | reached | met |", "|---|---|---|---|---|"]
    lines += [f"| {each.what} | {each.least} | {each.aim} | {each.reached} | {each.met or '-'} |" for each in rows]
    return "\n".join(lines)
