"""One HTML page as text: no script, no font and no picture from elsewhere; light or dark as the reader likes it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["cells", "facts", "page", "preformatted", "section"]

_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;background:#ffffff;color:#1a1a1a}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
th,td{padding:.2rem .6rem;text-align:left;border-bottom:1px solid #d8d8d8;white-space:nowrap}
th{position:sticky;top:0;background:#ffffff}
td.number,th.number{text-align:right}
pre{background:#f3f4f6;padding:.8rem;overflow-x:auto}
svg{max-width:100%;height:auto}
dl{display:grid;grid-template-columns:max-content auto;gap:.2rem 1rem}dt{color:#595959}dd{margin:0}
@media(prefers-color-scheme:dark){
body,th{background:#161b22;color:#e6e6e6}th,td{border-color:#3d444d}pre{background:#0d1117}dt{color:#a0a8b0}}
"""


def page(title: str, sections: Iterable[str]) -> str:
    """A whole document of what `section` made."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f"<title>{html.escape(title)}</title>",
            f"<style>{_STYLE}</style></head>",
            f"<body><h1>{html.escape(title)}</h1>",
            *sections,
            "</body></html>",
            "",
        ]
    )


def section(heading: str, *parts: str) -> str:
    """A part of a page: a heading and HTML. Nothing without parts that hold something."""
    held = [part for part in parts if part]
    return "\n".join([f"<h2>{html.escape(heading)}</h2>", *held]) if held else ""


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names and values, both plain text."""
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{rows}</dl>"


def cells(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of plain text.

    Args:
        header: names of the columns.
        rows: of as many cells.
        numbers: columns that are set to the right.
    """

    def line(tag: str, row: Sequence[str]) -> str:
        kinds = [' class="number"' if index in numbers else "" for index in range(len(row))]
        return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "\n".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{line("th", header)}</tr></thead><tbody>\n{body}\n'
        "</tbody></table></div>"
    )


def preformatted(content: str) -> str:
    """Text as it is, in lines."""
    return f"<pre>{html.escape(content)}</pre>"
