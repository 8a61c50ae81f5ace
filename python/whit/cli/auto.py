"""The options of `whit compress` that measure accuracy, write a report, and search for a recipe."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whit.cli.common import count
from whit.cli.output import replacing
from whit.errors import InvalidArgumentError

if TYPE_CHECKING:
    from whit.compression import Recipe, Report
    from whit.compression.search import SearchResult

__all__ = ["add_auto", "add_evaluation", "check", "find", "to_dict", "write_report"]

#: Options of a search: without --auto they would have no effect.
_SEARCH = ("max_drop", "min_snr", "max_bytes", "max_ms", "journal", "jobs", "dask", "trials", "samples")
_UNITS = {"": 1, "B": 1, "k": 1000, "kB": 1000, "M": 10**6, "MB": 10**6, "G": 10**9, "GB": 10**9}


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    """`--eval`, `--labels`, `--times`, `--report`."""
    parser.add_argument(
        "--eval",
        metavar="DIR|NPZ",
        help="samples on which the file is compared with the model, apart from --data: as there, or a folder with one "
        "subfolder of pictures per class",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="the right class of each sample of --eval: .npy, or .txt or .csv with one number on each line "
        "(default: the class that the model chooses)",
    )
    parser.add_argument("--times", action="store_true", help="time every operator before and after, on this machine")
    parser.add_argument(
        "--report", metavar="FILE", help="write what was done: FILE.html, a page with pictures and times, or FILE.json"
    )


def add_auto(parser: argparse.ArgumentParser) -> None:
    """`--auto` and the options of a search."""
    group = parser.add_argument_group(
        "automatic", "With --auto the settings of every layer are chosen so that the file stays within the limits."
    )
    group.add_argument("--auto", action="store_true", help="search, starting from --recipe; needs --data or --eval")
    group.add_argument("--max-drop", type=float, metavar="POINTS", help="of top-1 (or agreement) that may be lost")
    group.add_argument("--min-snr", type=float, metavar="DB", help="for models whose output is no class scores")
    group.add_argument("--max-bytes", type=_bytes, metavar="SIZE", help="of the file: 1M, 800kB, 812345")
    group.add_argument("--max-ms", type=float, metavar="MS", help="of one inference on --target")
    group.add_argument(
        "--journal",
        metavar="FILE",
        help="keeps what was measured, so that a search that was killed goes on and the next one is short "
        "(default: OUT.whit.search.jsonl)",
    )
    group.add_argument("--jobs", type=count, metavar="N", help="try recipes in N processes (default: 1)")
    group.add_argument("--dask", metavar="ADDRESS", help="try recipes on the workers of this Dask scheduler")
    group.add_argument("--trials", type=count, metavar="N", help="try N more recipes, proposed by Optuna")
    group.add_argument("--samples", type=count, metavar="N", help="measure layers on N samples (default: 16)")


def check(arguments: argparse.Namespace) -> None:
    """Says before long work what is wrong with these options."""
    if not arguments.auto:
        for name in _SEARCH:
            if getattr(arguments, name) is not None:
                raise InvalidArgumentError(f"--{name.replace('_', '-')} goes with --auto")
    if arguments.labels and not arguments.eval:
        raise InvalidArgumentError("--labels goes with --eval")
    if arguments.report is None:
        return
    path = Path(arguments.report)
    if path.suffix.lower() not in (".html", ".json"):
        raise InvalidArgumentError(f"--report {path}: wanted a name that ends in .html or .json")
    if path.is_dir() or not path.parent.is_dir():
        raise InvalidArgumentError(f"--report {path}: is a folder, or its folder does not exist")


def find(arguments: argparse.Namespace, recipe: Recipe, shapes: Any) -> SearchResult:
    """Searches as the options say."""
    from whit.compression import PRESETS
    from whit.compression.search import Budget, search

    given = any(setting.partition("=")[0].strip() == "storage" for setting in arguments.settings)
    if arguments.recipe in PRESETS and recipe.storage == "dense" and not given:
        recipe = replace(recipe, storage="coded")  # what is chosen would not show in the size otherwise
    budget = Budget(
        arguments.max_drop, arguments.min_snr, arguments.max_bytes, arguments.max_ms, arguments.target or "this"
    )
    return search(
        arguments.model,
        budget,
        arguments.data,
        evaluation=arguments.eval,
        labels=arguments.labels,
        recipe=recipe,
        preprocess=arguments.preprocess,
        input_shapes=shapes,
        journal=arguments.journal or f"{arguments.output}.search.jsonl",
        jobs=arguments.jobs or 1,
        dask=arguments.dask,
        trials=arguments.trials or 0,
        **({"samples": arguments.samples} if arguments.samples else {}),
    )


def write_report(name: str, report: Report, found: SearchResult | None) -> None:
    """The file of `--report`."""
    from whit.compression.page import report_page

    path = Path(name)
    if path.suffix.lower() == ".html":
        text = report_page(report, found.sections() if found else [])
    else:
        text = json.dumps(to_dict(report, found), indent=2) + "\n"
    with replacing(path, "--report") as file:
        file.write(text.encode())


def to_dict(report: Report, found: SearchResult | None) -> dict[str, object]:
    """What `--json` prints."""
    return {**report.to_dict(), "search": None if found is None else found.to_dict()}


def _bytes(text: str) -> int:
    """`1M`, `800kB`, `812345`."""
    number = text.rstrip("kMGB")
    try:
        value = float(number) * _UNITS[text[len(number) :]]
    except (ValueError, KeyError):
        value = 0.0
    if not 1 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"wanted a size such as 1M, 800kB or 812345, got {text!r}")
    return int(value)
