"""The `whit` command. One verb per module; `main` is its entry point.

Exit codes: 0 fine, 1 a check failed (accuracy, latency), 2 wrong usage or data, 3 a file that cannot be read or
written, 4 an unsupported model; 130 interrupted, 141 the reader of a pipe left (as shells say it).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from whit.cli import bench, compare, compress, demo, doctor, export_c, inspect, profile, run
from whit.cli.common import EXIT_BAD_FILE, EXIT_UNSUPPORTED, EXIT_USAGE
from whit.errors import FormatError, InvalidArgumentError, UnsupportedOperatorError, WhitError
from whit.version import __version__

__all__ = ["main"]

_VERBS = (compress, run, inspect, compare, bench, profile, export_c, doctor, demo)
_LEVELS = ("debug", "info", "warning", "error")
_INTERRUPTED, _BROKEN_PIPE = 128 + 2, 128 + 13


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and does not guess cut-off options."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **options})  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; returns the exit code.

    Raises:
        SystemExit: --help, --version, or a command line that cannot be understood (code 2).
    """
    parser = _Parser(
        prog="whit",
        description="Compress neural networks and run them fast on small CPUs.",
        epilog="whit VERB --help says more. Start with: whit demo",
    )
    parser.add_argument("--version", action="version", version=f"whit {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for module in _VERBS:
        module.add(verbs)
    parsed = parser.parse_args(arguments)
    try:
        _set_up_logging()
        code = int(parsed.run(parsed))
        # A pipe that nobody reads and a full disk show when the buffer is written: here, not at the interpreter's exit.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        _drop_output()
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return _fail("interrupted", _INTERRUPTED)
    except UnsupportedOperatorError as problem:
        return _fail(problem, EXIT_UNSUPPORTED)
    except (FormatError, OSError) as problem:  # FileError is an OSError
        return _fail(problem, EXIT_BAD_FILE)
    except WhitError as problem:
        return _fail(problem, EXIT_USAGE)
    except MemoryError as problem:
        return _fail(f"out of memory: {problem}" if str(problem) else "out of memory", EXIT_USAGE)


def _fail(problem: object, code: int) -> int:
    print(f"whit: {problem}", file=sys.stderr)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _drop_output()
    return code


def _drop_output() -> None:
    """What could not be written shall not fail once more at the interpreter's exit, with a code of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _set_up_logging() -> None:
    """WHIT_LOG=info shows what whit logs on stderr; without it the command line is silent."""
    level = os.environ.get("WHIT_LOG", "").lower()
    if not level:
        return
    if level not in _LEVELS:
        raise InvalidArgumentError(f"WHIT_LOG={level} is not a level; levels: {', '.join(_LEVELS)}")
    logger = logging.getLogger("whit")
    logger.setLevel(level.upper())
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
