"""Machine code to assembly text, by llvm-mc."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable

from bench.arm.traces import Block

LLVM = "19"  # one version for all: another one has other models, hence other numbers
_TRIPLES = {"arm64": "aarch64", "armhf": "armv8a-linux-gnueabihf", "thumb": "thumbv8a-linux-gnueabihf"}
_INVALID = re.compile(r"^<stdin>:(\d+):\d+: warning: invalid instruction encoding", re.MULTILINE)


class Disassembler:
    """Knows the text of every instruction that it has met, so that one call of llvm-mc serves many blocks."""

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture
        self._texts: dict[tuple[str, bytes], str | None] = {}

    def read(self, blocks: Iterable[Block]) -> list[list[str | None]]:
        """The instructions of each block, in lower case with single spaces; None is one that llvm-mc cannot read."""
        pieces = [self._split(block) for block in blocks]
        for mode in {mode for mode, _ in pieces}:
            self._learn(mode, {code for m, codes in pieces if m == mode for code in codes})
        return [[self._texts[mode, code] for code in codes] for mode, codes in pieces]

    def _split(self, block: Block) -> tuple[str, list[bytes]]:
        """The mode and the bytes of each instruction. An A32 block never splits into as many Thumb instructions as it
        has, but by a rare accident: that needs every second halfword to look like the start of a long one."""
        code = block.code
        if self.architecture == "armhf":
            thumb, at = [], 0
            while at < len(code):
                size = 4 if code[at + 1] >> 3 in (0b11101, 0b11110, 0b11111) else 2
                thumb.append(code[at : at + size])
                at += size
            if len(thumb) == block.instructions:
                return "thumb", thumb
        return self.architecture, [code[at : at + 4] for at in range(0, len(code), 4)]

    def _learn(self, mode: str, codes: set[bytes]) -> None:
        new = sorted(code for code in codes if (mode, code) not in self._texts)
        if not new:
            return
        # A line in brackets is read on its own: one bad instruction does not shift those after it.
        text = "".join("[" + " ".join(f"0x{byte:02x}" for byte in code) + "]\n" for code in new)
        call = [f"llvm-mc-{LLVM}", "--disassemble", f"-triple={_TRIPLES[mode]}"]
        call.append("-mattr=+all" if mode == "arm64" else "-mattr=+neon,+vfp4,+hwdiv,+hwdiv-arm,+dotprod,+fullfp16")
        done = subprocess.run(call, input=text, capture_output=True, text=True)
        bad = {int(line) - 1 for line in _INVALID.findall(done.stderr)}
        lines = iter(line for line in done.stdout.splitlines() if line.startswith("\t") and line.strip() != ".text")
        for index, code in enumerate(new):
            self._texts[mode, code] = None if index in bad else " ".join(next(lines).split()).lower()
