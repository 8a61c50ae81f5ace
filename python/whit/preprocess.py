"""From a picture to the array that a model wants: resize, crop, normalise, lay out.

A `Preprocess` is stored in a .whit file under `metadata["preprocess"]`, one per input name, so that running the file on
a photo needs no further settings. Importing this module needs numpy alone; Pillow is imported when a picture has to be
decoded or resized.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from whit.dtypes import NUMPY_DTYPES
from whit.errors import InvalidArgumentError

__all__ = ["IMAGE_SUFFIXES", "PRESETS", "Preprocess"]

#: Endings of the file names that count as pictures.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

_INTERPOLATIONS = ("bicubic", "bilinear", "nearest")
_CHANNELS = {"RGB": 3, "BGR": 3, "GRAY": 1}
_LAYOUTS = ("NCHW", "NHWC")
_DTYPES = ("f32", "u8", "s8")
_MAX_PIXELS = 1 << 28
#: Pillow modes that hold more than 8 bits per channel, which converting would clip without a word.
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes one sample of an input.

    The steps, in this order: convert to `channels`; resize; cut the centre; then, in f32,
    `(pixel * scale - mean) / std` with pixels in 0..255.

    Attributes:
        resize: length that the short side gets (the other keeps the proportions), or an exact (height, width), or None.
        crop: side of the square, or (height, width), that is cut from the centre, or None.
        interpolation: "bicubic", "bilinear" or "nearest", as Pillow defines them.
        channels: "RGB", "BGR" or "GRAY".
        scale: factor of the pixels, for instance 1/255.
        mean: subtracted after `scale`; one value for all channels or one per channel, in the order of `channels`.
        std: divisor after that, the same way.
        layout: "NCHW" gives [C, H, W], "NHWC" gives [H, W, C].
        dtype: "f32", or "u8" or "s8" for models that take integers (rounded half to even, clamped).
    """

    resize: int | tuple[int, int] | None = None
    crop: int | tuple[int, int] | None = None
    interpolation: str = "bicubic"
    channels: str = "RGB"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "NCHW"
    dtype: str = "f32"

    def __post_init__(self) -> None:
        for name in ("resize", "crop"):
            object.__setattr__(self, name, _size(name, getattr(self, name)))
        for name, allowed in (
            ("interpolation", _INTERPOLATIONS),
            ("channels", tuple(_CHANNELS)),
            ("layout", _LAYOUTS),
            ("dtype", _DTYPES),
        ):
            if getattr(self, name) not in allowed:
                raise InvalidArgumentError(
                    f"preprocess: {name} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}"
                )
        object.__setattr__(self, "scale", _number("scale", self.scale))
        count = _CHANNELS[self.channels]
        for name in ("mean", "std"):
            values = _numbers(name, getattr(self, name))
            if len(values) not in (1, count):
                raise InvalidArgumentError(
                    f"preprocess: {name} needs 1 or {count} values for {self.channels}; got {len(values)}"
                )
            object.__setattr__(self, name, values)
        if 0.0 in self.std:
            raise InvalidArgumentError("preprocess: std must not be 0")

    # --- from and to text and JSON ---

    @classmethod
    def parse(cls, text: str) -> Preprocess:
        """Reads `"resize=256,crop=224,scale=1/255,mean=.485:.456:.406,std=.229:.224:.225"`.

        The keys are the attributes of this class; sizes are `N` or `HEIGHTxWIDTH`, lists are separated by `:`, numbers
        may be fractions. A first entry without `=` is the name of a preset that the others change:
        `"imagenet,crop=256"`.

        Raises:
            InvalidArgumentError: unknown key or preset, or a value that does not fit.
        """
        base = cls()
        values: dict[str, Any] = {}
        for index, entry in enumerate(part.strip() for part in text.split(",")):
            key, equals, value = (part.strip() for part in entry.partition("="))
            if not equals:
                if index or key not in PRESETS:
                    raise InvalidArgumentError(
                        f"preprocess: {entry!r} is neither KEY=VALUE nor a preset; "
                        f"keys: {', '.join(_KEYS)}; presets: {', '.join(PRESETS)}"
                    )
                base = PRESETS[key]
            elif key not in _KEYS:
                raise InvalidArgumentError(f"preprocess: no key {key!r}; keys: {', '.join(_KEYS)}")
            elif key in values:
                raise InvalidArgumentError(f"preprocess: {key} is given twice")
            else:
                values[key] = _parse_value(key, value)
        return replace(base, **values)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready; `from_dict` gives the same object back."""
        values = {name: getattr(self, name) for name in _KEYS}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """The reverse of `to_dict`; keys that are missing get their defaults.

        Raises:
            InvalidArgumentError: not a mapping, an unknown key, or a value that does not fit.
        """
        if not isinstance(values, Mapping):
            raise InvalidArgumentError(f"preprocess: must be a mapping; got {type(values).__name__}")
        unknown = [str(key) for key in values if key not in _KEYS]
        if unknown:
            raise InvalidArgumentError(f"preprocess: no key {unknown[0]!r}; keys: {', '.join(_KEYS)}")
        arguments: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item for key, item in values.items()
        }
        return cls(**arguments)

    # --- taking it apart ---

    @property
    def count(self) -> int:
        """Channels of a picture."""
        return _CHANNELS[self.channels]

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """Factor and term, f64 [C] each, with which the last step is `pixel * factor + term`."""
        mean, std = (np.broadcast_to(np.asarray(values, np.float64), (self.count,)) for values in (self.mean, self.std))
        return self.scale / std, -mean / std

    def as_picture(self) -> Preprocess:
        """The same picture before the last step: its bytes, u8 [H, W, C]."""
        return replace(self, scale=1.0, mean=(0.0,), std=(1.0,), layout="NHWC", dtype="u8")

    # --- doing it ---

    def apply(self, image: Any) -> np.ndarray:
        """One picture as an array without batch axis.

        Args:
            image: a path, the bytes of a picture file, a Pillow image, or a u8 array [H, W, 3] in RGB, [H, W, 1] or
                [H, W] in grey. Grey becomes colour and colour grey as the model wants; transparency is dropped.

        Returns:
            `dtype` [C, H, W], or [H, W, C] for layout "NHWC".

        Raises:
            InvalidArgumentError: not a picture, or one smaller than the crop where no resize is set.
        """
        pixels = self._pixels(image)
        table = self._table()
        planes = [table[index][pixels[:, :, index]] for index in range(pixels.shape[2])]
        return np.stack(planes, axis=0 if self.layout == "NCHW" else 2)

    def batch(self, images: Iterable[Any]) -> np.ndarray:
        """Several pictures stacked: [N, C, H, W] or [N, H, W, C]; they must come out equally large."""
        samples = [self.apply(image) for image in images]
        if not samples:
            raise InvalidArgumentError("preprocess: no pictures given")
        shapes = sorted({sample.shape for sample in samples})
        if len(shapes) > 1:
            raise InvalidArgumentError(
                f"preprocess: pictures of one batch must come out equally large; got {shapes[0]} and {shapes[-1]}. "
                "Set resize=HEIGHTxWIDTH or crop"
            )
        return np.stack(samples)

    def _table(self) -> np.ndarray:
        """Output value of every pixel value, [C, 256] of `dtype`."""
        count = self.count
        # Scaling in f64 and rounding once gives the same bits as dividing f32 pixels by 255 (or 127.5).
        scaled = (np.arange(256, dtype=np.float64) * self.scale).astype(np.float32)
        mean = np.broadcast_to(np.asarray(self.mean, np.float32), (count,))[:, None]
        std = np.broadcast_to(np.asarray(self.std, np.float32), (count,))[:, None]
        values: np.ndarray = (scaled[None, :] - mean) / std
        if self.dtype == "f32":
            return values
        dtype = NUMPY_DTYPES[self.dtype]
        limits = np.iinfo(dtype)
        steps: np.ndarray = np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
        return steps

    def _pixels(self, image: Any) -> np.ndarray:
        """u8 [H, W, C], converted, resized and cropped."""
        if isinstance(image, np.ndarray):
            pixels = _check_array(image)
            height, width = pixels.shape[:2]
            grey = pixels.shape[2] == 1
            same_size = self._resized(height, width) == (height, width)
            if same_size and grey == (self.channels == "GRAY"):
                return self._order(self._cut(pixels))
            image = _pil().fromarray(pixels[:, :, 0] if grey else np.ascontiguousarray(pixels))
        else:
            image = _open(image)
        if image.mode in _WIDE_MODES:
            raise InvalidArgumentError(
                f"preprocess: a picture of mode {image.mode} has more than 8 bits per channel; convert it to 8 bits"
            )
        image = image.convert("L" if self.channels == "GRAY" else "RGB")
        width, height = image.size
        target = self._resized(height, width)
        if target != (height, width):
            resampling = getattr(_pil().Resampling, self.interpolation.upper())
            image = image.resize((target[1], target[0]), resampling)
        pixels = np.asarray(image)
        return self._order(self._cut(pixels if pixels.ndim == 3 else pixels[:, :, None]))

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.resize is None:
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        short = min(height, width)
        target = self.resize * height // short, self.resize * width // short
        if target[0] * target[1] > _MAX_PIXELS:
            raise InvalidArgumentError(
                f"preprocess: a picture of {height}x{width} is too elongated for a short side of {self.resize}"
            )
        return target

    def _cut(self, pixels: np.ndarray) -> np.ndarray:
        if self.crop is None:
            return pixels
        crop_height, crop_width = self.crop if isinstance(self.crop, tuple) else (self.crop, self.crop)
        height, width = pixels.shape[:2]
        if height < crop_height or width < crop_width:
            raise InvalidArgumentError(
                f"preprocess: cannot crop {crop_height}x{crop_width} from a picture of {height}x{width} "
                "(height x width); set resize to at least the crop"
            )
        top, left = (height - crop_height) // 2, (width - crop_width) // 2
        return pixels[top : top + crop_height, left : left + crop_width]

    def _order(self, pixels: np.ndarray) -> np.ndarray:
        return pixels[:, :, ::-1] if self.channels == "BGR" else pixels


_KEYS = tuple(item.name for item in fields(Preprocess))


def _pil() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise InvalidArgumentError("reading or resizing pictures needs Pillow: pip install pillow") from error
    return Image


def _open(image: Any) -> Any:
    module = _pil()
    if isinstance(image, module.Image):
        return image
    if isinstance(image, (bytes, bytearray, memoryview)):
        what, source = "these bytes are", io.BytesIO(image)
    elif isinstance(image, (str, os.PathLike)):
        what, source = f"{os.fspath(image)} is", io.BytesIO(_read(Path(image)))
    else:
        raise InvalidArgumentError(
            "preprocess: a picture is a path, bytes, a Pillow image or a u8 array [H, W, 3]; "
            f"got {type(image).__name__}"
        )
    try:
        decoded = module.open(source)
        decoded.load()
    except (OSError, SyntaxError, ValueError, EOFError, module.DecompressionBombError) as error:
        raise InvalidArgumentError(f"preprocess: {what} no picture that Pillow can read: {error}") from error
    return decoded


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(f"preprocess: cannot read {path}: {error.strerror or error}") from error


def _check_array(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8:
        raise InvalidArgumentError(
            f"preprocess: an array must hold u8 pixels (0..255); got {pixels.dtype}. "
            "Arrays that are preprocessed already are fed to the model as they are"
        )
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise InvalidArgumentError(
            f"preprocess: an array must be [H, W, 3], [H, W, 1] or [H, W]; got {list(pixels.shape)}"
        )
    return pixels


def _size(name: str, value: Any) -> int | tuple[int, int] | None:
    if value is None:
        return None
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    good = all(
        isinstance(size, (int, np.integer)) and not isinstance(size, bool) and 0 < size < 65536 for size in sizes
    )
    if not good or len(sizes) > 2:
        raise InvalidArgumentError(
            f"preprocess: {name} must be a length or (height, width) in 1..65535 pixels; got {value!r}"
        )
    first = int(sizes[0])
    return first if len(sizes) == 1 else (first, int(sizes[1]))


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
        raise InvalidArgumentError(f"preprocess: {name} must be a finite number; got {value!r}")
    return float(value)


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, (tuple, list, np.ndarray)) else (value,)
    return tuple(_number(name, item) for item in values)


def _parse_value(key: str, text: str) -> Any:
    try:
        if key in ("resize", "crop"):
            sizes = tuple(int(part) for part in text.split("x"))
            return sizes[0] if len(sizes) == 1 else sizes
        if key == "scale":
            return _parse_number(text)
        if key in ("mean", "std"):
            return tuple(_parse_number(part) for part in text.split(":"))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise InvalidArgumentError(f"preprocess: {key}={text!r} is not understood ({error})") from error
    return text.upper() if key in ("channels", "layout") else text.lower()


def _parse_number(text: str) -> float:
    numerator, slash, denominator = text.partition("/")
    return float(numerator) / float(denominator) if slash else float(numerator)


_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Presets by name: the usual inputs of ImageNet classifiers.
PRESETS: dict[str, Preprocess] = {
    # torchvision's evaluation: mean and standard deviation of ImageNet in 0..1.
    "imagenet": Preprocess(256, 224, "bilinear", scale=1 / 255, mean=_MEAN, std=_STD),
    "imagenet-bicubic": Preprocess(256, 224, "bicubic", scale=1 / 255, mean=_MEAN, std=_STD),
    # TensorFlow's EfficientNet-Lite: (x - 127) / 128.
    "tf": Preprocess(256, 224, "bicubic", mean=(127.0,), std=(128.0,)),
    # Keras' "tf" mode (MobileNet, Inception): x / 127.5 - 1.
    "keras": Preprocess(256, 224, "bilinear", scale=1 / 127.5, mean=(1.0,)),
    "unit": Preprocess(scale=1 / 255),
}
