"""The `whit` command. One verb per module; `main` is its entry point.

Exit codes: 0 fine, 1 a check failed (accuracy, latency), 2 wrong usage, 3 a bad file, 4 an unsupported model.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from whit.cli import bench, compare, compress, demo, doctor, inspect, profile, run
from whit.cli.common import EXIT_BAD_FILE, EXIT_UNSUPPORTED, EXIT_USAGE
from whit.errors import FileError, FormatError, UnsupportedOperatorError, WhitError
from whit.version import __version__

__all__ = ["main"]

_VERBS = (compress, run, inspect, compare, bench, profile, doctor, demo)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="whit", description="Compress neural networks and run them fast on small CPUs."
    )
    parser.add_argument("--version", action="version", version=f"whit {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for module in _VERBS:
        module.add(verbs)
    parsed = parser.parse_args(arguments)
    try:
        _set_up_logging()
        return int(parsed.run(parsed))
    except UnsupportedOperatorError as problem:
        return _fail(problem, EXIT_UNSUPPORTED)
    except (FormatError, FileError) as problem:
        return _fail(problem, EXIT_BAD_FILE)
    except WhitError as problem:
        return _fail(problem, EXIT_USAGE)
    except BrokenPipeError:  # the reader of a pipe left early, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("whit: interrupted", file=sys.stderr)
        return 130


def _fail(problem: Exception, code: int) -> int:
    print(f"whit: {problem}", file=sys.stderr)
    return code


def _set_up_logging() -> None:
    level = os.environ.get("WHIT_LOG")
    if not level:
        return
    number = logging.getLevelName(level.upper())
    if not isinstance(number, int):
        raise WhitError(f"WHIT_LOG={level} is not a level (debug, info, warning, error)")
    logging.basicConfig(level=number, format="%(levelname)s %(name)s: %(message)s")
