"""What the bench needs of the machine, and the ARM systems with the contenders' wheels that it lays out."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from bench.arm.disassembly import LLVM

ROOT = Path(__file__).resolve().parents[2]

_PACKAGES = {  # program -> Debian package
    "qemu-aarch64": "qemu-user",
    "qemu-arm": "qemu-user",
    "gcc": "gcc libc6-dev",
    f"llvm-mca-{LLVM}": f"llvm-{LLVM}",
    f"llvm-mc-{LLVM}": f"llvm-{LLVM}",
    f"llvm-nm-{LLVM}": f"llvm-{LLVM}",
}
_CROSS = {
    "arm64": ("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu", "aarch64-gcc.cmake"),
    "armhf": ("arm-linux-gnueabihf-g++", "g++-arm-linux-gnueabihf", "armv7-gcc.cmake"),
}
_GLIBC_MINORS = range(17, 36)  # up to Debian 12's
_WHEEL_TAGS = {"arm64": "aarch64", "armhf": "armv7l"}


class RequirementError(Exception):
    """Something is missing on this machine; the text says what to install."""


def check_requirements(architectures: Iterable[str], cross_compile: bool) -> None:
    wanted = dict(_PACKAGES)
    if cross_compile:
        wanted |= {_CROSS[architecture][0]: _CROSS[architecture][1] for architecture in architectures}
        wanted |= {"cmake": "cmake", "ninja": "ninja-build"}
    missing = {program: package for program, package in wanted.items() if not shutil.which(program)}
    if missing:
        install = "apt-get install " + " ".join(sorted(set(missing.values())))
        raise RequirementError(f"missing: {', '.join(missing)}. On Debian 12: {install}")
    if subprocess.run(["qemu-aarch64", "-plugin", "help"], capture_output=True).stderr.startswith(b"qemu: unknown"):
        raise RequirementError("this QEMU was built without plugins, as Debian 13's is: the bench needs Debian 12's")
    if int(versions()["qemu"].partition(".")[0]) > 8:
        raise RequirementError(
            f"QEMU {versions()['qemu']} has other plugins than 7.2, Debian 12's, for which this bench is"
        )
    try:
        import flatbuffers  # type: ignore[import-untyped]  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise RequirementError(f"no module {error.name}: pip install '.[bench]'") from None


def versions() -> dict[str, str]:
    """The tools that the numbers depend on."""

    def first_line(*call: str) -> str:
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]

    mca = subprocess.run([f"llvm-mca-{LLVM}", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "qemu": first_line("qemu-aarch64", "--version").split("version ")[1].split()[0],
        "llvm-mca": next(line.split("version ")[1] for line in mca.splitlines() if "version" in line),
        "host": f"{platform.system()} {platform.machine()}",
    }


def emulated_system(architecture: str, folder: Path) -> Path:
    """An ARM Debian with Python 3.11, laid out on first use."""
    done = folder / "usr" / "bin" / "python3.11"
    if not done.exists():
        _say(f"laying out a Debian {architecture} in {folder}")
        tool = ROOT / "tools" / "emulated-python"
        subprocess.run([str(tool), architecture, str(folder), "libgomp1", "libatomic1"], check=True, stdout=sys.stderr)
    return folder


def wheels(requirements: Iterable[str], architecture: str, downloads: Path, site: Path) -> Path:
    """Installs a contender's ARM wheels from `downloads` into `site`; only what `downloads` lacks is fetched."""
    for requirement in requirements:
        name, _, version = requirement.partition("==")
        if (site / f"{name.replace('-', '_')}-{version}.dist-info").exists():
            continue
        # On 32-bit ARM, numpy comes with the emulated Debian: it has no wheel.
        target = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
        target += ["--no-deps"] if architecture == "armhf" else []
        tag = _WHEEL_TAGS[architecture]
        target += [f"--platform=manylinux_2_{minor}_{tag}" for minor in _GLIBC_MINORS]
        target += [f"--platform=manylinux2014_{tag}", f"--platform=linux_{tag}"]
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
        install = [*pip, "install", "--no-index", f"--find-links={downloads}", f"--target={site}", "--upgrade"]
        if subprocess.run([*install, *target, requirement], capture_output=True).returncode:
            _say(f"downloading {requirement} for {tag} into {downloads}")
            subprocess.run([*pip, "download", "-d", str(downloads), *target, requirement], check=True)
            subprocess.run([*install, *target, requirement], check=True)
    return site


def build_run_whit(architecture: str, folder: Path) -> Path:
    """Builds the program that runs a .whit file between the marks: static, with symbols."""
    toolchain = ROOT / "csrc" / "cmake" / "toolchains" / _CROSS[architecture][2]
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", f"--toolchain={toolchain}"]
    configure += ["-DWHIT_BUILD_BENCH=ON", "-DCMAKE_EXE_LINKER_FLAGS=-static"]
    for call in (configure, ["ninja", "-C", str(folder), "run_whit"]):
        done = subprocess.run(call, capture_output=True, text=True)
        if done.returncode:
            raise RequirementError(f"{' '.join(call)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return folder / "bench" / "arm" / "run_whit"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
