"""Photos that Debian packages ship, fetched as they are needed: things cut out of photos, and landscapes.

tuxpaint-stamps-default (GPL-2) has some 500 animals, plants, vehicles and other things with transparent surroundings;
mate-backgrounds (GPL-2) has a dozen photos of nature that suit as what lies behind them.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from PIL import Image

#: Package, version and SHA-256 of the file.
_PACKAGES = (
    (
        "tuxpaint-stamps-default",
        "2022.06.04-1",
        "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    ),
    ("mate-backgrounds", "1.26.0-1", "7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04"),
)
#: Larger ones would only take longer to shrink.
_STAMP, _BACKGROUND = 128, 1000


def fetch(folder: Path) -> Path:
    """Downloads and unpacks the packages below `folder`, if that was not done yet; returns where their files are.

    Raises:
        FileNotFoundError: this is no Debian, or its archive does not have a package.
        ValueError: what came is not what is expected.
    """
    unpacked = folder / "debian"
    for package, version, digest in _PACKAGES:
        done = unpacked / f"{package}-{digest[:16]}"
        if done.exists():
            continue
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise FileNotFoundError(f"training pictures need apt-get and dpkg-deb, to fetch Debian's package {package}")
        unpacked.mkdir(parents=True, exist_ok=True)
        command = ["apt-get", "download", "-q", f"{package}={version}"]
        result = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
        files = sorted(unpacked.glob(f"{package}_*.deb"))
        if result.returncode or not files:
            raise FileNotFoundError(f"{' '.join(command)} failed: {result.stderr.strip()} (apt-get update first?)")
        check(files[0], digest)
        subprocess.run(["dpkg-deb", "-x", str(files[0]), str(unpacked)], check=True)
        files[0].unlink()
        done.touch()
    return unpacked


def check(path: Path, digest: str) -> None:
    """Raises ValueError, and removes the file, unless it has this SHA-256."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != digest:
        path.unlink()
        raise ValueError(f"{path.name} has SHA-256 {found}, not {digest}")


def stamps(unpacked: Path) -> list[Image.Image]:
    """Things cut out, RGBA, as small as they can be without losing what 32 x 32 pictures show."""
    found = []
    for path in sorted((unpacked / "usr/share/tuxpaint/stamps").rglob("*.png")):
        if "symbols" in path.parts or "_mirror" in path.stem:  # letters; the same again
            continue
        stamp = Image.open(path).convert("RGBA")
        stamp.thumbnail((_STAMP, _STAMP), Image.BOX if max(stamp.size) > 2 * _STAMP else Image.BICUBIC)
        box = stamp.getchannel("A").getbbox()
        if box is not None:
            found.append(stamp.crop(box))
    return found


def backgrounds(unpacked: Path) -> list[Image.Image]:
    """Photos of nature, RGB."""
    found = []
    for path in sorted((unpacked / "usr/share/backgrounds/mate/nature").glob("*.jpg")):
        photo = Image.open(path).convert("RGB")
        photo.thumbnail((_BACKGROUND, _BACKGROUND))
        found.append(photo)
    return found
