# SPDX-License-Identifier: Apache-2.0
"""PNG, JPEG, BMP and GIF, through Pillow: upright, in colour or grey, with what a label needs to be understood."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image, ImageOps

from dsfedmed.data.files.damage.cut_files import check_whole_gif
from dsfedmed.data.files.damage.jpeg_damage import check_scans
from dsfedmed.data.files.damage.png_chunks import grey_bits, has_deep_planes, look_through, read_deep_planes
from dsfedmed.data.files.limits import check_bytes, check_pixels, reduction
from dsfedmed.data.files.planes import TURNED_SIDES, in_blocks, upright
from dsfedmed.data.files.raw import Probe, Raw
from dsfedmed.errors import DataError

ORIENTATION = 0x0112  # EXIF 2.3, tag 274
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF")
_GREY = ("1", "L", "F", "I", "I;16", "I;16B", "I;16L", "I;16N")
_OPACITY_OF = {"LA": "L", "La": "L", "PA": "RGB", "RGBA": "RGB", "RGBa": "RGB"}


@contextmanager
def opened(path: Path, formats: tuple[str, ...] | None = FORMATS) -> Iterator[Image.Image]:
    """Open a picture without decoding it; its size is held against our own limits, not against Pillow's.

    Raises:
        DataError: naming the file, when it has too many pixels.
    """
    with warnings.catch_warnings():
        # From 90 and 179 million pixels on Pillow warns, then refuses: `check_pixels` is the bound here. What it says
        # of damaged tags is no news to the user: the picture is decoded, or the error names it.
        warnings.simplefilter("ignore")
        kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(path, formats=formats) as picture:
                check_pixels(path, picture.size)
                yield picture
        finally:
            Image.MAX_IMAGE_PIXELS = kept


def probe_picture(path: Path) -> Probe:
    """Return size, channels and slices from the header."""
    with opened(path) as picture:
        frames, width, height = _frames(picture), *picture.size
        if _may_be_turned(path, picture) and _orientation(picture) in TURNED_SIDES:
            width, height = height, width
        grey = picture.mode in _GREY or picture.mode in ("LA", "La")
        return Probe((width, height), 1 if grey else 3, frames if frames > 1 else None)


def read_picture(path: Path, label: bool = False) -> Raw:
    """Read a picture; an animation becomes a stack of slices.

    Images: palettes and CMYK become RGB, alpha is laid over black and noted when it is not the same everywhere.
    Labels: indices, palette and alpha are kept, and greys of 2 and 4 bits keep their own numbers (Pillow stretches
    them to 0..255).

    Raises:
        DataError: naming the file, when it has too many pixels. Damaged files: whatever Pillow raises.
    """
    with opened(path) as picture:
        if picture.format == "GIF":
            check_whole_gif(path)
        if picture.format in ("JPEG", "MPO"):
            check_scans(path)
        chunks = look_through(path, sums=True) if picture.format == "PNG" else None
        header = chunks.header if chunks is not None else b""
        turned = 1 if chunks is not None and not chunks.may_be_turned else _orientation(picture)
        frames = _frames(picture)
        notes = _notes(picture, turned)
        if frames == 1 and has_deep_planes(header):
            return _deep(path, picture.size, label, notes, turned)
        if frames == 1:
            raw = _one(path, picture, label, notes, turned)
            few = grey_bits(header) if label else 8
            return replace(raw, array=raw.array // (255 // (2**few - 1))) if few < 8 else raw
        check_bytes(path, (*picture.size, frames, 3), 1)
        planes = []
        for number in range(frames):
            picture.seek(number)
            planes.append(_one(path, picture.convert("RGB"), label, (), 1).array)
        return Raw(path, np.stack(planes, axis=2), np.eye(4), volume=True, notes=notes)


def reduced(picture: Image.Image, label: bool, factor: int) -> Image.Image:
    """Return a picture with both sides divided: means of blocks, or for labels the middle of each block."""
    if label:
        width, height = (-(-side // factor) for side in picture.size)
        return picture.resize((width, height), Image.Resampling.NEAREST)
    if picture.mode in ("1", "I;16", "I;16B", "I;16L", "I;16N", "I"):
        picture = picture.convert("L" if picture.mode == "1" else "F")
    return picture.reduce(factor)


def _one(path: Path, picture: Image.Image, label: bool, notes: tuple[str, ...], turned: int) -> Raw:
    full = picture.size
    factor = reduction(full)
    if not label and factor > 1 and picture.format in ("JPEG", "MPO"):
        step = max(power for power in (1, 2, 4, 8) if power <= factor)
        picture.draft(None, (full[0] // step, full[1] // step))  # decoded small: the DCT is cut, not the pixels
        factor = reduction(picture.size)
    if picture.format in ("BMP", "DIB") and picture.mode == "1":
        picture = _two_coloured(picture)
    palette = _palette(picture) if label and picture.mode == "P" else None
    if not label and (picture.mode in ("P", "PA") or picture.mode not in (*_GREY, "L", "LA", "RGB", "RGBA")):
        picture = picture.convert("RGBA" if "transparency" in picture.info or picture.mode == "PA" else "RGB")
    elif label and picture.mode not in (*_GREY, "P", "LA", "RGB", "RGBA"):
        picture = picture.convert(_OPACITY_OF.get(picture.mode, "RGB"))
    if factor > 1:
        picture = reduced(picture, label, factor)
    if turned not in (0, 1):
        exif = Image.Exif()
        exif[ORIENTATION] = turned
        picture = ImageOps.exif_transpose(_with_exif(picture, exif))
        full = (full[1], full[0]) if turned in TURNED_SIDES else full
    array = np.asarray(picture)
    array = np.swapaxes(array, 0, 1)
    array = array[..., None] if array.ndim == 2 else array
    alpha = None
    if picture.mode in _OPACITY_OF:
        array, alpha, more = split_alpha(array, label)
        notes = (*notes, *more)
    small = None if array.shape[:2] == full else full
    if small:
        notes = (*notes, f"{full[0]} x {full[1]} pixels, read at {array.shape[0]} x {array.shape[1]}")
    return Raw(path, array, np.eye(4), volume=False, palette=palette, alpha=alpha, full_size=small, notes=notes)


def split_alpha(
    array: np.ndarray, label: bool, premultiplied: bool = False
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Part colours (X, Y, C) from the opacity in the last channel.

    An image is laid over black, as a viewer shows it on a black ground; a label keeps its opacity beside it.
    ``premultiplied``: the colours were laid over black when the file was written (TIFF's associated alpha).
    """
    colours, alpha = array[..., :-1], array[..., -1:]
    if (alpha == alpha.flat[0]).all():
        return colours, None, ()
    if label:
        return colours, alpha, ()
    if (colours == colours[:1, :1]).all() or not colours[alpha[..., 0] > 0].any():  # over black nothing would remain
        return alpha, None, ("drawn in its transparency alone; the transparency is taken as the picture",)
    if premultiplied:
        return colours, None, ("its transparency is not the same everywhere; it is put on black",)
    top = np.iinfo(array.dtype).max if array.dtype.kind in "ui" else 1.0
    laid = colours.astype(np.float64) * (alpha.astype(np.float64) / top)
    laid = np.rint(laid).astype(array.dtype) if array.dtype.kind in "ui" else laid.astype(array.dtype)
    return laid, None, ("its transparency is not the same everywhere; it is put on black",)


def _deep(path: Path, full: tuple[int, int], label: bool, notes: tuple[str, ...], turned: int) -> Raw:
    """Read planes of 16 bits, of which Pillow keeps the upper eight."""
    check_bytes(path, (*full, 4), 2)
    array = np.swapaxes(read_deep_planes(path), 0, 1)
    if array.shape[:2] != full:
        reason = f"its pixels are {array.shape[0]} x {array.shape[1]}, its header says {full[0]} x {full[1]}"
        raise DataError(path, reason, "Replace the file or take its item out.")
    if (factor := reduction(full)) > 1:
        array = in_blocks(array, factor, label)
    array, full = upright(array, turned), ((full[1], full[0]) if turned in TURNED_SIDES else full)
    alpha = None
    if array.shape[-1] in (2, 4):
        array, alpha, more = split_alpha(array, label)
        notes = (*notes, *more)
    small = None if array.shape[:2] == full else full
    if small:
        notes = (*notes, f"{full[0]} x {full[1]} pixels, read at {array.shape[0]} x {array.shape[1]}")
    return Raw(path, array, np.eye(4), volume=False, alpha=alpha, full_size=small, notes=notes)


def _two_coloured(picture: Image.Image) -> Image.Image:
    """Decode a bitmap in black and white; Pillow 12 takes the bytes of an 8-bit one for bits."""
    path: Any = picture.filename  # type: ignore[attr-defined]
    content = Path(path).read_bytes()
    if int.from_bytes(content[28:30], "little") == 1:
        return picture
    indices = np.asarray(imagecodecs.bmp_decode(content, asrgb=False))
    return Image.fromarray(indices * np.uint8(255))


def _with_exif(picture: Image.Image, exif: Image.Exif) -> Image.Image:
    result = picture.copy()
    result.info["exif"] = exif.tobytes()
    result._exif = None  # type: ignore[attr-defined]
    return result


def _orientation(picture: Image.Image) -> int:
    try:
        found = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # a broken EXIF block is no reason to lose the picture; Pillow raises many types here
        return 1
    return int(found) if isinstance(found, int) and 1 <= found <= 8 else 1


def _may_be_turned(path: Path, picture: Image.Image) -> bool:
    """Whether a look at the orientation is worth it: of a PNG, Pillow decodes all pixels to find it."""
    return picture.format != "PNG" or look_through(path, sums=False).may_be_turned


def _notes(picture: Image.Image, turned: int) -> tuple[str, ...]:
    notes = []
    if turned != 1:
        notes.append(f"turned upright by its EXIF orientation {turned}")
    if picture.format == "MPO":
        notes.append(f"{getattr(picture, 'n_frames', 1) - 1} further pictures in the file are left out")
    return tuple(notes)


def _frames(picture: Image.Image) -> int:
    """Pictures in the file; an MPO's further ones are previews of the first."""
    return 1 if picture.format == "MPO" else int(getattr(picture, "n_frames", 1))


def _palette(picture: Image.Image) -> np.ndarray:
    colours = np.zeros((256, 3), dtype=np.uint8)
    found = np.array(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    colours[: len(found)] = found
    return colours
