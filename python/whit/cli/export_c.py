"""`whit export-c`: a .whit file as a C array, for programs without a file system."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from whit.cli.common import EXIT_OK, add_json, print_json, size_text
from whit.cli.output import replacing
from whit.errors import FileError, InvalidArgumentError
from whit.model import load

__all__ = ["add"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Of C and C++; neither takes them as names.
_KEYWORDS_TEXT = (
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept const const_cast "
    "consteval constexpr constinit continue co_await co_return co_yield decltype default delete do double dynamic_cast "
    "else enum explicit export extern false float for friend goto if inline int long mutable namespace new noexcept "
    "not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires restrict return "
    "short signed sizeof static static_assert static_cast struct switch template this thread_local throw true try "
    "typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile wchar_t while xor "
    "xor_eq"
)
_KEYWORDS = frozenset(_KEYWORDS_TEXT.split())
_BYTES_A_LINE = 24
_LINES_A_WRITE = 4096


def add(verbs: Any) -> None:
    """Adds the verb."""
    parser = verbs.add_parser(
        "export-c",
        help="write a .whit file as a C array",
        description="Writes a .c file with the model's bytes as a constant array on a 64-byte boundary, and a header "
        "beside it: for whit_model_load_memory of the C library, which copies nothing. The bytes stay in the program's "
        "read-only data.",
    )
    parser.add_argument("model", metavar="MODEL.whit")
    parser.add_argument("-o", "--output", metavar="FILE.c", help="default: the model's name with .c; FILE.h goes along")
    parser.add_argument("--name", metavar="SYMBOL", help="name of the array (default: from the name of FILE.c)")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    model = Path(arguments.model)
    source = Path(arguments.output) if arguments.output else model.with_suffix(".c")
    if source.suffix != ".c":
        raise InvalidArgumentError(f"--output {source}: the name must end in .c")
    header = source.with_suffix(".h")
    symbol = _symbol(arguments.name, source)
    with load(model, threads=1):  # a file that does not load is not worth a program
        pass
    try:
        data = model.read_bytes()
    except OSError as problem:
        raise FileError(f"{model}: {problem.strerror}") from problem
    with replacing(source, "--output") as c_file, replacing(header, "--output") as h_file:
        for text in _source(data, symbol, header.name, model.name):
            c_file.write(text.encode())
        h_file.write(_header(symbol, model.name, len(data)).encode())
    if arguments.json:
        print_json(
            {
                "source": str(source),
                "header": str(header),
                "symbol": symbol,
                "size_symbol": f"{symbol}_size",
                "bytes": len(data),
            }
        )
    else:
        print(f"{source}, {header}: {symbol}[], {size_text(len(data))}")
        print(f"load it with whit_model_load_memory({symbol}, {symbol}_size, NULL, &model, &error)")
    return EXIT_OK


def _symbol(name: str | None, source: Path) -> str:
    """A name for the array that C and C++ take."""
    if name is None:
        symbol = re.sub(r"[^A-Za-z0-9_]", "_", source.stem)
        symbol = f"model_{symbol}" if not symbol[0].isalpha() or symbol in _KEYWORDS else symbol
        return symbol
    if not _IDENTIFIER.fullmatch(name) or name in _KEYWORDS:
        raise InvalidArgumentError(f"--name {name}: not a name that C and C++ take: letters, digits and _, no keyword")
    if name.startswith("__") or (name[0] == "_" and name[1:2].isupper()):
        raise InvalidArgumentError(f"--name {name}: such names belong to the compiler")
    return name


def _comment(text: str) -> str:
    """Text that cannot end a comment, begin one, or continue a line."""
    return re.sub(r"[^A-Za-z0-9_.+ -]", "_", text)


def _source(data: bytes, symbol: str, header: str, model: str) -> Iterator[str]:
    yield (
        f"/* {_comment(model)} as written by whit export-c. */\n"
        f'#include "{header}"\n\n'
        f"const size_t {symbol}_size = {len(data)};\n\n"
        f"__attribute__((aligned(64))) const unsigned char {symbol}[{len(data)}] = {{\n"
    )
    step = _BYTES_A_LINE * _LINES_A_WRITE
    for start in range(0, len(data), step):
        block = data[start : start + step]
        lines = (block[at : at + _BYTES_A_LINE] for at in range(0, len(block), _BYTES_A_LINE))
        yield "".join(",".join(map(str, line)) + ",\n" for line in lines)
    yield "};\n"


def _header(symbol: str, model: str, size: int) -> str:
    guard = f"{symbol.upper()}_H"
    return (
        f"/* {_comment(model)} as written by whit export-c: whit_model_load_memory({symbol}, {symbol}_size, ...). */\n"
        f"#ifndef {guard}\n"
        f"#define {guard}\n\n"
        "#include <stddef.h>\n\n"
        "#ifdef __cplusplus\n"
        'extern "C" {\n'
        "#endif\n\n"
        f"/* {size} bytes on a 64-byte boundary. */\n"
        f"extern const unsigned char {symbol}[{size}];\n"
        f"extern const size_t {symbol}_size;\n\n"
        "#ifdef __cplusplus\n"
        "}\n"
        "#endif\n\n"
        f"#endif /* {guard} */\n"
    )
