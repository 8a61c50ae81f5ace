"""What counted blocks cost: instruction classes, A53 issue slots, cycles estimated by llvm-mca.

The measures are the same for every contender; docs/ARM.md says in words what they leave out.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.arm.cpus import CYCLES, ISSUE_SLOTS, Cpu
from bench.arm.disassembly import LLVM, Disassembler
from bench.arm.traces import Block

#: Blocks from the hottest down to this share of all instructions go through llvm-mca; one cycle each for the rest.
MODELLED_SHARE = 0.999
ITERATIONS = 100
_REGIONS_PER_CALL = 64

#: The interpreter that calls a runtime is not part of the runtime: files with these in their path are left out.
_HARNESS = re.compile(r"/python3[^/]*$|/libpython3|/numpy/|/_ctypes|/ld-linux")

#: (class, pattern of the mnemonic); the first match counts. A64 and A32 names side by side.
_CLASSES = [
    (name, re.compile(pattern))
    for name, pattern in (
        ("matrix multiply", r"v?[su]s?u?mmla\b"),
        ("dot product", r"v?(s|u|us|su)dot\b"),
        ("widening multiply", r"v?[su]?(mull|mlal|mlsl)2?\b"),
        ("widening add", r"v?[su]?(adalp|addlp|addl|addw|padal|paddl)2?\b"),
        ("branch", r"(b|bl|bx|blx|br|blr|ret|cbn?z|tbn?z|tb[bh])\b"),
        ("branch", r"b\.?(eq|ne|[hl][sioe]|c[sc]|mi|pl|v[sc]|g[et]|lt)\b"),
    )
]


@dataclass(frozen=True)
class BlockCost:
    block: Block
    cost: float  # of all its runs
    macs: int  # s8 multiplications of one run

    @property
    def macs_per_cost(self) -> float:
        return self.macs * self.block.runs / self.cost


@dataclass
class Costs:
    instructions: int = 0
    cost: float = 0.0  # in the unit of the CPU
    unmodelled: int = 0  # instructions that count one cycle each because llvm-mca did not get or not know them
    classes: Counter[str] = field(default_factory=Counter)
    per_block: list[BlockCost] = field(default_factory=list)


def without_harness(blocks: Sequence[Block]) -> list[Block]:
    return [block for block in blocks if not _HARNESS.search(block.file)]


def measure(blocks: Sequence[Block], cpu: Cpu, cache: Path) -> Costs:
    """The costs of the blocks on this CPU; `cache` is a folder that keeps what llvm-mca said."""
    blocks = sorted(blocks, key=lambda block: -block.executed)
    texts = Disassembler(cpu.architecture).read(blocks)
    costs = Costs(instructions=sum(block.executed for block in blocks))
    for block, lines in zip(blocks, texts, strict=True):
        for line in lines:
            costs.classes[classify(line)] += block.runs
    if cpu.cost == CYCLES:
        once = _modelled(blocks, texts, cpu, cache, costs)
    elif cpu.cost == ISSUE_SLOTS:
        once = [sum(map(issue_slots, lines)) for lines in texts]
    else:
        once = [block.instructions for block in blocks]
    for block, lines, cost in zip(blocks, texts, once, strict=True):
        costs.per_block.append(BlockCost(block, block.runs * cost, sum(map(macs, lines))))
    costs.cost = sum(block.cost for block in costs.per_block)
    return costs


def classify(line: str | None) -> str:
    if line is None:
        return "unknown"
    mnemonic, _, operands = line.partition(" ")
    for name, pattern in _CLASSES:
        if pattern.match(mnemonic):
            return name
    vector = mnemonic.startswith("v") or bool(re.search(r"\b[vbhsdq]\d", operands))
    if memory := re.match(r"v?(ld|pop|prf|st|push)", mnemonic):
        store = memory[1] in ("st", "push")
        return f"{'vector' if vector else 'scalar'} {'store' if store else 'load'}"
    return "vector other" if vector else "scalar other"


def issue_slots(line: str | None) -> int:
    """The A53 model: a vector load takes one slot for each 64 bits that it reads, every other instruction one."""
    if line is None or not line.startswith("ld"):
        return 1
    mnemonic, _, operands = line.partition(" ")
    registers, _, _ = operands.partition("[")
    if mnemonic in ("ldr", "ldur", "ldp", "ldnp"):
        return max(1, 2 * len(re.findall(r"\bq\d", registers)) + len(re.findall(r"\bd\d", registers)))
    if re.fullmatch(r"ld[1-4]", mnemonic) and "}" in registers and not operands.partition("}")[2].startswith("["):
        return 2 * len(re.findall(r"v\d+\.(16b|8h|4s|2d)", registers)) or len(re.findall(r"v\d", registers))
    return 1


def macs(line: str | None) -> int:
    """Multiplications of s8 or u8 by one A64 instruction, where they sum into wider lanes."""
    if line is None:
        return 0
    if re.match(r"[us]+mmla v\d+\.4s", line):
        return 32
    if re.match(r"[us]+dot v\d+\.[24]s", line):
        return 16 if ".4s" in line else 8
    return 8 if re.match(r"[us](mull|mlal)2? v\d+\.8h", line) else 0


def _modelled(
    blocks: Sequence[Block], texts: Sequence[list[str | None]], cpu: Cpu, cache: Path, costs: Costs
) -> list[float]:
    """Cycles of one run of each block."""
    total, covered, bodies = costs.instructions, 0, []
    for block, lines in zip(blocks, texts, strict=True):
        hot = covered < MODELLED_SHARE * total
        covered += block.executed
        bodies.append(_loop_body(lines) if hot else None)
    known = _PipelineModel(cpu, cache).cycles([body for body in bodies if body])
    once = []
    for block, body in zip(blocks, bodies, strict=True):
        cycles = known.get(body) if body else None
        if cycles is None:
            costs.unmodelled += block.executed
            cycles = block.instructions
        once.append(cycles)
    return once


def _loop_body(lines: Sequence[str | None]) -> str | None:
    """The block as input of llvm-mca, or None if an instruction of it is unknown.

    Calls and returns become plain branches, which llvm-mca does not charge with a guess. Address writeback is dropped:
    some models charge it the latency of the load.
    """
    body = []
    for line in lines:
        if line is None:
            return None
        mnemonic, _, operands = line.partition(" ")
        if mnemonic.startswith("b."):
            body.append("b.ne #0")
        elif mnemonic in ("b", "bl", "br", "blr", "ret", "cbz", "cbnz", "tbz", "tbnz", "svc", "brk"):
            body.append("b #0")
        else:
            operands = re.sub(r"(\[(?:x\d+|sp)\]), (?:#-?\d+|x\d+)$", r"\1", operands)
            operands = re.sub(r"(\[(?:x\d+|sp), #-?\d+\])!$", r"\1", operands)
            body.append(f"{mnemonic} {operands}".rstrip())
    return "\n".join(body)


class _PipelineModel:
    """llvm-mca for one CPU. Each body is taken as that of a loop: cycles = those of many turns / turns."""

    def __init__(self, cpu: Cpu, cache: Path) -> None:
        self.call = [f"llvm-mca-{LLVM}", "-mtriple=aarch64", f"-mcpu={cpu.model}", "-mattr=+all"]
        self.call += [f"-iterations={ITERATIONS}", "-instruction-info=0", "-resource-pressure=0"]
        self.file = cache / f"llvm-mca-{LLVM}-{cpu.model}.json"

    def cycles(self, bodies: Sequence[str]) -> dict[str, float | None]:
        stored: dict[str, float | None] = json.loads(self.file.read_text()) if self.file.exists() else {}
        keys = {body: hashlib.sha256(body.encode()).hexdigest()[:24] for body in bodies}
        new = sorted({body for body in bodies if keys[body] not in stored})
        for start in range(0, len(new), _REGIONS_PER_CALL):
            group = new[start : start + _REGIONS_PER_CALL]
            stored.update(zip((keys[body] for body in group), self._simulate(group), strict=True))
        if new:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            part = self.file.with_suffix(".part")
            part.write_text(json.dumps(stored))
            part.rename(self.file)
        return {body: stored[keys[body]] for body in bodies}

    def _simulate(self, bodies: Sequence[str]) -> list[float | None]:
        regions = "".join(f"# LLVM-MCA-BEGIN {i}\n{body}\n# LLVM-MCA-END\n" for i, body in enumerate(bodies))
        done = subprocess.run(self.call, input=regions, capture_output=True, text=True)
        totals = re.findall(r"^Total Cycles:\s+(\d+)", done.stdout, re.MULTILINE)
        if len(totals) == len(bodies):
            return [int(total) / ITERATIONS for total in totals]
        if len(bodies) == 1:
            return [None]
        # One instruction that this CPU lacks spoils the whole call: halve until it is alone.
        middle = len(bodies) // 2
        return self._simulate(bodies[:middle]) + self._simulate(bodies[middle:])
