"""Counting: builds the QEMU plugin, runs a program under it, reads what it wrote."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.arm.cpus import Cpu

COUNTED_TAG = "2"  # ends the interval that mark 1 begins


class RunError(Exception):
    """A program failed under emulation."""


@dataclass(frozen=True)
class Block:
    """A straight piece of guest code that ran `runs` times."""

    runs: int
    address: int  # in the guest
    instructions: int
    code: bytes
    file: str

    @property
    def executed(self) -> int:
        return self.runs * self.instructions


def build_plugin(folder: Path) -> Path:
    """Compiles counter.c into `folder`."""
    plugin = folder / "counter.so"
    source = Path(__file__).with_name("counter.c")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(plugin), str(source)], check=True)
    return plugin


def run(
    command: Sequence[str], cpu: Cpu, plugin: Path, trace: Path, root: Path | None, variables: Mapping[str, str]
) -> str:
    """Runs a guest program, with its libraries in `root`, and writes the counts to `trace`. Returns what it printed.

    Raises:
        RunError: the program failed, or it passed no marks.
    """
    if root:
        # QEMU shows the guest this file instead of the host's.
        (root / "proc").mkdir(exist_ok=True)
        (root / "proc" / "cpuinfo").write_text(cpu.cpuinfo())
    emulator = "qemu-aarch64" if cpu.architecture == "arm64" else "qemu-arm"
    call = [emulator, "-cpu", cpu.qemu, "-plugin", f"{plugin},out={trace}.part"]
    for name, value in variables.items():
        call += ["-E", f"{name}={value}"]
    call += ["-L", str(root)] if root else []
    part = trace.with_name(trace.name + ".part")
    done = subprocess.run([*call, *command], capture_output=True, text=True)
    if done.returncode or not part.exists() or not part.stat().st_size:
        raise RunError(f"{' '.join([*call, *command])}: exit status {done.returncode}\n{done.stderr.strip()}")
    part.rename(trace)
    trace.with_suffix(".out").write_text(done.stdout)
    return done.stdout


def read(trace: Path) -> list[Block]:
    """The blocks as QEMU translated them; see `joined`."""
    blocks = []
    for line in trace.read_text().splitlines():
        tag, runs, address, _, instructions, code, file = line.split(" ", 6)
        if tag == COUNTED_TAG:
            blocks.append(Block(int(runs), int(address, 16), int(instructions), bytes.fromhex(code), file))
    return blocks


def joined(blocks: Sequence[Block]) -> list[Block]:
    """A64 blocks put together to straight pieces of code up to a branch.

    QEMU also ends a block at the border of a page and after some hundred instructions. What runs next is then the block
    that begins where this one ends, so each run of such a block is a run of both.
    """
    left = dict(enumerate(blocks))  # with the runs that are not yet part of a longer block
    at: defaultdict[int, list[int]] = defaultdict(list)
    for i, block in left.items():
        at[block.address].append(i)
    cut = [i for i, block in left.items() if not _ends_in_branch(block)]
    while cut:
        first = cut.pop()
        block = left[first]
        end = block.address + len(block.code)
        following = max(at[end], key=lambda i: left[i].runs, default=first)
        runs = min(block.runs, left[following].runs)
        if following == first or runs == 0:
            continue
        rest = left[following]
        instructions, code = block.instructions + rest.instructions, block.code + rest.code
        whole = replace(block, runs=runs, instructions=instructions, code=code)
        left[following] = replace(rest, runs=rest.runs - runs)
        left[first] = replace(block, runs=block.runs - runs)
        new = len(left)
        left[new] = whole
        at[whole.address].append(new)
        cut += [i for i in (first, new) if left[i].runs and not _ends_in_branch(left[i])]
    return [block for block in left.values() if block.runs]


def _ends_in_branch(block: Block) -> bool:
    # A64's group of branches, exceptions and system instructions: bits 28 to 26 are 101.
    return int.from_bytes(block.code[-4:], "little") >> 26 & 7 == 0b101
