"""The emulated cores, and how the cost of a run is put on each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cpu:
    name: str
    architecture: str  # of Debian: arm64 or armhf
    qemu: str  # -cpu
    cost: str  # what `Measurement.cost` counts
    model: str | None = None  # llvm-mca's -mcpu
    boards: str = ""
    #: What the /proc/cpuinfo of such a board says: some runtimes choose their kernels by it.
    implementer_part: str = ""
    features: str = ""

    def cpuinfo(self) -> str:
        """The text of /proc/cpuinfo of a board with four such cores."""
        processor = (
            "processor\t: {}\nBogoMIPS\t: 100.00\nFeatures\t: {}\nCPU implementer\t: 0x41\n"
            "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {}\nCPU revision\t: 3\n\n"
        )
        return "".join(processor.format(i, self.features, self.implementer_part) for i in range(4))


CYCLES = "estimated cycles"
ISSUE_SLOTS = "issue slots"
INSTRUCTIONS = "instructions"

_V8 = "fp asimd aes pmull sha1 sha2 crc32 cpuid"
_V82 = _V8.replace("cpuid", "atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp")

_V7 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32"
_I8MM = _V82 + " i8mm bf16"

CPUS = {
    cpu.name: cpu
    for cpu in (
        Cpu("cortex-a53", "arm64", "cortex-a53", ISSUE_SLOTS, None, "Raspberry Pi 3, Zero 2 W", "0xd03", _V8),
        # LLVM has no model of the A72 of its own: -mcpu=cortex-a72 is the A57's.
        Cpu("cortex-a72", "arm64", "cortex-a72", CYCLES, "cortex-a72", "Raspberry Pi 4", "0xd08", _V8),
        # LLVM gives the A76 the A57's model; the Neoverse N1 is the A76's core for servers.
        Cpu("cortex-a76", "arm64", "cortex-a76", CYCLES, "neoverse-n1", "Raspberry Pi 5", "0xd0b", _V82),
        # QEMU 7.2 has no core with i8mm but `max`, which also has SVE and SME.
        Cpu("i8mm", "arm64", "max,sve=off,sme=off", CYCLES, "neoverse-n2", "cores with i8mm", "0xd49", _I8MM),
        Cpu("armv7", "armhf", "cortex-a15", INSTRUCTIONS, None, "32-bit systems", "0xc0f", _V7),
    )
}
