"""Training pictures without labels, 32 x 32: crops of photos that packages ship, things before them, made-up scenes.

None of it is a photo on which anything is judged. Everything comes from one seed.

Fallen leaves: Lee, Mumford and Huang, "Occlusion Models for Natural Images", 2001, whose statistics are near those of
photos; noise with a 1/f^a spectrum: Field, "Relations between the statistics of natural images", 1987. That networks
learn from such pictures: Baradad et al., "Learning to See by Looking at Noise", 2021.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.compression import stamps

SIZE = 32

#: Where packages keep photos.
_FOLDERS = (("skimage", "data"), ("sklearn", "datasets/images"))
# fmt: off
#: Neither drawings nor text nor masks.
_PHOTOS = (
    "astronaut", "brick", "camera", "cell", "chelsea", "china", "clock_motion", "coffee", "coins", "flower",
    "grass", "gravel", "hubble_deep_field", "ihc", "moon", "motorcycle_left", "motorcycle_right", "retina",
    "rocket",
)
# fmt: on

#: Photos larger than this are not cropped more often than others.
_MOST = 1000

_Random = np.random.Generator


def photos() -> list[Image.Image]:
    """The photos of scikit-image and scikit-learn.

    Raises:
        FileNotFoundError: a package or one of its photos is missing.
    """
    found: dict[str, Path] = {}
    for package, folder in _FOLDERS:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(f"training pictures need {package}: pip install scikit-image scikit-learn")
        for path in (Path(spec.origin).parent / folder).iterdir():
            if path.suffix in (".png", ".jpg"):
                found[path.stem] = path
    missing = [name for name in _PHOTOS if name not in found]
    if missing:
        raise FileNotFoundError(f"photos that scikit-image and scikit-learn shipped are gone: {', '.join(missing)}")
    return [Image.open(found[name]).convert("RGB") for name in _PHOTOS]


def pictures(count: int, seed: int, unpacked: Path | None = None) -> np.ndarray:
    """Training pictures, u8 [count, 32, 32, 3]: half of them crops, a quarter made up, a quarter of both.

    Args:
        count: how many.
        seed: of all of them.
        unpacked: where `stamps.fetch` put its packages: three of ten pictures then show things from there, before crops
            or what is made up. None: there are no such pictures.
    """
    random = np.random.default_rng(seed)
    originals, cut = photos(), []
    if unpacked is not None:
        originals += stamps.backgrounds(unpacked)
        cut = stamps.stamps(unpacked)
    area = np.array([min(*each.size, _MOST) for each in originals], np.float64)
    share = area / area.sum()
    result = np.empty((count, SIZE, SIZE, 3), np.uint8)
    makers: list[Callable[[_Random], np.ndarray]] = [fallen_leaves, noise, waves, scene]
    for index in range(count):
        things = cut and random.random() < 0.3
        kind = random.random()
        photo = originals[random.choice(len(originals), p=share)]
        made = makers[random.integers(len(makers))]
        if things:
            picture = crop(photo, random) if kind < 0.7 else made(random)
            for _ in range(1 + int(random.integers(0, 5) > 2)):
                picture = paste(cut[random.integers(len(cut))], picture, random)
            picture = blur(picture, random)
        elif kind < 0.5:
            picture = crop(photo, random)
            if picture.std() < 0.08:  # next to nothing on it
                picture = crop(photo, random)
        elif kind < 0.75:
            picture = made(random)
        else:
            other = crop(originals[random.choice(len(originals), p=share)], random) if kind < 0.9 else made(random)
            picture = combine(crop(photo, random), other, random)
        result[index] = np.clip(colour(picture, random) * 255 + 0.5, 0, 255).astype(np.uint8)
    return result


def paste(stamp: Image.Image, picture: np.ndarray, random: _Random) -> np.ndarray:
    """A thing (RGBA) in front of a picture, of about its size, mirrored or turned a little."""
    scale = SIZE * np.exp(random.uniform(np.log(0.45), np.log(1.5))) / max(stamp.size)
    wide, high = (max(3, round(length * scale * np.exp(random.normal(0, 0.12)))) for length in stamp.size)
    if random.random() < 0.5:
        stamp = stamp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.3:
        stamp = stamp.rotate(random.uniform(-25, 25), Image.Resampling.BICUBIC, expand=True)
    small = stamp.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = round(random.normal(16, 5) - wide / 2), round(random.normal(17, 5) - high / 2)
    layer = Image.new("RGBA", (SIZE, SIZE))
    layer.paste(small, (left, top))
    front = np.asarray(layer, np.float32) / 255
    cover = front[:, :, 3:]
    result: np.ndarray = front[:, :, :3] * cover + picture * (1 - cover)
    return result


def vary(batch: Any, generator: Any) -> Any:
    """Mirrors half of a batch [N, 3, 32, 32], shifts all of it, and pastes parts of a quarter into each other.

    Yun et al., "CutMix", 2019. The teacher is asked about what comes out, so no labels have to be mixed.
    """
    count = len(batch)
    mirrored = torch.rand(count, generator=generator) < 0.5
    batch = torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
    padded = torch.nn.functional.pad(batch, (3, 3, 3, 3), mode="reflect")
    down, right = torch.randint(0, 7, (2,), generator=generator).tolist()
    batch = padded[:, :, down : down + SIZE, right : right + SIZE].clone()
    some = torch.randperm(count, generator=generator)[: count // 4]
    high, wide = torch.randint(6, 24, (2,), generator=generator).tolist()
    top, left = (int(torch.randint(0, SIZE - size, (1,), generator=generator)) for size in (high, wide))
    batch[some, :, top : top + high, left : left + wide] = batch.flip(0)[some, :, top : top + high, left : left + wide]
    return batch


def crop(photo: Image.Image, random: _Random) -> np.ndarray:
    """A square or nearly square part at any scale, turned a little or mirrored, f32 [32, 32, 3] in 0..1."""
    width, height = photo.size
    side = min(width, height) * np.exp(random.uniform(np.log(min(48 / min(width, height), 1)), 0))
    wide, high = (min(limit, side * np.exp(random.normal(0, 0.15))) for limit in photo.size)
    left, top = random.uniform(0, width - wide), random.uniform(0, height - high)
    if random.random() < 0.3:
        angle = random.uniform(-30, 30)
        part = photo.crop((int(left), int(top), int(left + wide), int(top + high))).rotate(angle, Image.BILINEAR)
        inner = 0.73
        rest = (1 - inner) / 2
        box = (part.width * rest, part.height * rest, part.width * (1 - rest), part.height * (1 - rest))
        small = part.resize((SIZE, SIZE), Image.BICUBIC, box)
    else:
        small = photo.resize((SIZE, SIZE), Image.BICUBIC, (left, top, left + wide, top + high))
    array = np.asarray(small, np.float32) / 255
    return array[:, ::-1] if random.random() < 0.5 else array


def colour(picture: np.ndarray, random: _Random) -> np.ndarray:
    """Other brightness, contrast, saturation and tint."""
    if random.random() < 0.2:
        return picture
    grey = picture.mean(axis=2, keepdims=True)
    mixed = grey + (picture - grey) * np.float32(random.uniform(0.3, 1.7))
    mixed = mixed[:, :, random.permutation(3)] if random.random() < 0.25 else mixed
    mixed = (mixed - mixed.mean()) * np.float32(np.exp(random.normal(0, 0.3))) + mixed.mean()
    tint = random.normal(0, 0.07, 3) + random.normal(0, 0.1)
    result: np.ndarray = np.clip(mixed + tint.astype(np.float32), 0, 1)
    return np.float32(1) - result if random.random() < 0.03 else result


def combine(one: np.ndarray, other: np.ndarray, random: _Random) -> np.ndarray:
    """One in front of the other, cut along a rectangle or a shape, or both at once."""
    if random.random() < 0.25:
        share = np.float32(random.beta(1, 1))
        return one * share + other * (1 - share)
    return np.where(_shape(random), one, other)


def _palette(random: _Random, count: int) -> np.ndarray:
    """Colours that go together, f32 [count, 3]."""
    base, spread = random.uniform(0.1, 0.9, 3), random.uniform(0.05, 0.4)
    return np.clip(base + random.normal(0, spread, (count, 3)), 0, 1).astype(np.float32)


_Y, _X = (axis.astype(np.float32) for axis in np.mgrid[0:SIZE, 0:SIZE])


def _shape(random: _Random, scale: float | None = None) -> np.ndarray:
    """A soft-edged ellipse, rectangle or wavy blob, f32 or bool [32, 32, 1]."""
    size = random.uniform(5, 16) if scale is None else scale
    x0, y0, turn = random.uniform(0, SIZE), random.uniform(0, SIZE), random.uniform(0, np.pi)
    if scale is None:
        x0, y0 = random.uniform(8, 24, 2)
    cos, sin, ratio = np.cos(turn), np.sin(turn), np.exp(random.uniform(-0.9, 0.9))
    u, v = ((_X - x0) * cos + (_Y - y0) * sin) * ratio, (_Y - y0) * cos - (_X - x0) * sin
    kind = random.integers(3)
    if kind == 0:
        inside = np.hypot(u, v) < size
    elif kind == 1:
        inside = np.maximum(abs(u), abs(v)) < size
    else:
        wave = 1 + 0.35 * np.sin(random.integers(2, 7) * np.arctan2(v, u) + random.uniform(0, 6.3))
        inside = np.hypot(u, v) < size * wave
    return inside[:, :, None]


def _shading(random: _Random) -> np.ndarray:
    """A plane of light, f32 [32, 32, 1]."""
    slope = random.normal(0, 0.5, 2) / SIZE
    return ((_X - 16) * slope[0] + (_Y - 16) * slope[1]).astype(np.float32)[:, :, None]


def fallen_leaves(random: _Random) -> np.ndarray:
    """Shapes of all sizes, each in front of those before it."""
    count = int(random.integers(5, 45))
    colours, picture = _palette(random, count), np.zeros((SIZE, SIZE, 3), np.float32)
    picture += _palette(random, 1)
    grain = noise(random) - 0.5
    for number in range(count):
        inside = _shape(random, min(16.0, 1.5 * (1 - random.random()) ** -0.6))
        picture = np.where(inside, colours[number] + _shading(random) * 0.7 + grain * random.uniform(0, 0.5), picture)
    return blur(picture, random)


def scene(random: _Random) -> np.ndarray:
    """One thing of few parts before a background: ground and sky, or noise."""
    if random.random() < 0.5:
        horizon = random.uniform(8, 28) + random.normal(0, 0.2) * (_X - 16) + random.uniform(0, 2) * np.sin(_X / 3)
        low, high = _palette(random, 1)[0], _palette(random, 1)[0]
        picture = np.where((horizon < _Y)[:, :, None], low + 0.4 * (noise(random) - 0.5), high + _shading(random) * 0.4)
    else:
        picture = noise(random) * 0.6 + 0.2
    for part in _palette(random, int(random.integers(1, 7))):
        texture = (noise(random) if random.random() < 0.5 else waves(random)) - 0.5
        surface = part + _shading(random) + texture * random.uniform(0, 0.6)
        picture = np.where(_shape(random, random.uniform(2, 13)), surface, picture)
    return blur(np.asarray(picture, np.float32), random)


_FREQUENCY = np.maximum(np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)), 1 / SIZE)[:, :, None]


def noise(random: _Random) -> np.ndarray:
    """Noise with a spectrum 1 / f^a, the colours more or less alike."""
    spectrum = np.fft.rfft2(random.normal(size=(SIZE, SIZE, 3)), axes=(0, 1)) / _FREQUENCY ** random.uniform(0.5, 2)
    field = np.fft.irfft2(spectrum, (SIZE, SIZE), axes=(0, 1))
    field = field @ (np.full((3, 3), 1.0) * random.uniform(0, 1) + np.eye(3) * random.uniform(0.1, 1))
    field = (field - field.mean()) / (field.std() + 1e-9)
    return np.clip(_palette(random, 1)[0] + field * random.uniform(0.05, 0.3), 0, 1).astype(np.float32)


def waves(random: _Random) -> np.ndarray:
    """Stripes, grids and rings of two colours."""
    field = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(random.integers(1, 4)):
        turn, pitch, phase = random.uniform(0, np.pi), random.uniform(0.15, 1.6), random.uniform(0, 6.3)
        u = _X * np.cos(turn) + _Y * np.sin(turn)
        if random.random() < 0.3:
            u = np.hypot(_X - random.uniform(0, SIZE), _Y - random.uniform(0, SIZE))
        field += np.sin(u * pitch + phase)
    if random.random() < 0.5:
        field = np.sign(field)
    share = (0.5 + 0.5 * np.clip(field, -1, 1))[:, :, None]
    first, second = _palette(random, 2)
    return np.clip(first * share + second * (1 - share) + _shading(random), 0, 1).astype(np.float32)


def blur(picture: np.ndarray, random: _Random) -> np.ndarray:
    """A little less sharp, as downscaled photos are."""
    weight = np.float32(random.uniform(0, 0.25))
    for axis in (0, 1):
        near = np.roll(picture, 1, axis), np.roll(picture, -1, axis)
        picture = picture * (1 - 2 * weight) + (near[0] + near[1]) * weight
    return np.clip(picture, 0, 1)
