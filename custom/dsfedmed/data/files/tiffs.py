# SPDX-License-Identifier: Apache-2.0
"""TIFF, through tifffile: pages, planes, pyramids, white-is-zero at every depth, palettes and extra samples.

What the first series of pages holds is read (TIFF 6.0; ImageJ's, OME's and other dialects as tifffile knows them);
further series, such as a slide's label and thumbnail, are counted and left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from tifffile import PHOTOMETRIC, TiffFile, TiffFileError, TiffPage, TiffPageSeries

from dsfedmed.data.files.damage.cut_files import check_whole_tiff
from dsfedmed.data.files.limits import KEPT_PIXELS, MAX_CHANNELS, check_bytes, check_pixels, reduction
from dsfedmed.data.files.pictures import opened, split_alpha
from dsfedmed.data.files.planes import TURNED_SIDES, in_blocks, upright
from dsfedmed.data.files.raw import Probe, Raw
from dsfedmed.errors import DataError, worded

_OWN = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE, PHOTOMETRIC.YCBCR)
_STACK = "ZTQIRPE"


def probe_tiff(path: Path) -> Probe:
    """Return size, channels and slices from the tags."""
    with _file(path) as tiff:
        series = tiff.series[0]
        page = _page(path, series)
        lengths = _lengths(path, series)
        width, height = lengths["X"], lengths["Y"]
        if int(page.tags.valueof("Orientation", default=1)) in TURNED_SIDES:
            width, height = height, width
        check_pixels(path, (width, height))
        channels = 3 if page.photometric == PHOTOMETRIC.PALETTE else _colours(page, lengths)
        depth = lengths["stack"] * len(_alike(tiff, page))
        slices = depth if depth > 1 else None
        return Probe((width, height), channels, slices)


def read_tiff(path: Path, label: bool = False) -> Raw:
    """Read a TIFF; pages of one size become slices, planes become channels.

    White-is-zero values are turned within their own depth, so that larger means brighter.

    Raises:
        DataError: naming the file: too large, several stack axes at once, a colour space or codec that is not read.
    """
    with _file(path) as tiff:
        series = tiff.series[0]
        page = _page(path, series)
        if page.photometric not in _OWN or (page.photometric == PHOTOMETRIC.YCBCR and page.compression not in (6, 7)):
            return _by_pillow(path, label)
        pages = _alike(tiff, page)
        notes = (*_elsewhere(tiff), *_left_out(tiff, len(pages)), *(note for one in pages for note in _holes(one)))
        lengths = _lengths(path, series)
        check_pixels(path, (lengths["X"], lengths["Y"]))
        level, series = _level(series)
        pages[0] = series
        check_bytes(path, (len(pages), *series.get_shape(False)), series.dtype.itemsize if series.dtype else 1)
        parts = []
        for part in pages:
            check_whole_tiff(path, tiff, part)
            parts.append(_ordered(_decoded(path, part, page), _axes(part)))
        array = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
        return _understood(path, page, array, label, (lengths["X"], lengths["Y"]), notes, level)


def _understood(
    path: Path,
    page: TiffPage,
    array: np.ndarray,
    label: bool,
    full: tuple[int, int],
    notes: tuple[str, ...],
    level: int,
) -> Raw:
    """Give the numbers (X, Y, Z, C) their meaning."""
    palette = alpha = None
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        array = _whitened(path, array, page.bitspersample)
    if page.photometric == PHOTOMETRIC.PALETTE:
        stored = np.asarray(page.colormap).T
        colours = (stored if stored.max() < 256 else stored >> 8).astype(np.uint8)  # some writers leave out the * 257
        if label:
            palette = colours
        else:
            array = colours[array[..., 0]]
    turned = int(page.tags.valueof("Orientation", default=1))
    if 1 < turned <= 8:
        array, full = upright(array, turned), ((full[1], full[0]) if turned in TURNED_SIDES else full)
        notes = (*notes, f"turned upright by its orientation tag {turned}")
    stack = array.shape[2] > 1
    flat = array if stack else array[:, :, 0]
    if _has_alpha(page, flat.shape[-1]):
        flat, alpha, more = split_alpha(flat, label, int(page.extrasamples[-1]) == 1)
        notes = (*notes, *more)
    if not stack and level == 0 and (factor := reduction(full)) > 1:
        flat = in_blocks(flat, factor, label)
        alpha = None if alpha is None else in_blocks(alpha, factor, True)
    small = None if flat.shape[:2] == full else full
    if small:
        notes = (*notes, f"{full[0]} x {full[1]} pixels, read at {flat.shape[0]} x {flat.shape[1]}")
    return Raw(path, flat, np.eye(4), stack, palette=palette, alpha=alpha, full_size=small, notes=notes)


def _file(path: Path) -> TiffFile:
    """Open a TIFF alone: descriptions (OME, Micro-Manager, NDTiff) can take pages from any other file."""
    try:
        return TiffFile(path, _multifile=False, is_mmstack=False, is_ndtiff=False)
    except TiffFileError as error:
        raise DataError(
            path, f"it cannot be read ({worded(error)})", "Replace the file or take its item out."
        ) from error


def _page(path: Path, series: TiffPageSeries) -> TiffPage:
    page = series.keyframe
    if not isinstance(page, TiffPage):
        raise DataError(path, "it holds no page", "Export it again.")
    return page


def _axes(series: TiffPageSeries) -> str:
    return str(series.get_axes(False))


def _lengths(path: Path, series: TiffPageSeries) -> dict[str, int]:
    """Return the lengths of X, Y, of the stack axis and of the channels (S and C together)."""
    lengths = {"X": 1, "Y": 1, "stack": 1, "C": 1}
    for axis, length in zip(_axes(series), series.get_shape(False), strict=True):
        if axis in "XY":
            lengths[axis] *= int(length)
        elif axis in "SC":
            lengths["C"] *= int(length)
        elif length > 1 and lengths["stack"] > 1:
            found = ", ".join(f"{a} {n}" for a, n in zip(_axes(series), series.get_shape(False), strict=True) if n > 1)
            raise DataError(path, f"it is a stack in more than one direction ({found})", "Save one direction a file.")
        else:
            lengths["stack"] *= int(length)
    if lengths["C"] > MAX_CHANNELS:
        raise DataError(path, f"it has {lengths['C']} channels", f"At most {MAX_CHANNELS} are read.")
    return lengths


def _level(series: TiffPageSeries) -> tuple[int, TiffPageSeries]:
    """Return the largest level of a pyramid that needs no reduction, and its number."""
    for number, level in enumerate(series.levels):
        lengths = dict(zip(str(level.get_axes(False)), level.get_shape(False), strict=True))
        if lengths.get("X", 1) * lengths.get("Y", 1) <= KEPT_PIXELS:
            return number, level
    return len(series.levels) - 1, series.levels[-1]


def _decoded(path: Path, series: TiffPageSeries, page: TiffPage) -> np.ndarray:
    if series.dtype is None or series.dtype.kind not in "buif":
        raise DataError(path, f"its values are {series.dtype}", "Export it as whole numbers or floats.")
    check_bytes(path, series.get_shape(False), series.dtype.itemsize)
    try:
        array = series.asarray(squeeze=False)
    except (ValueError, NotImplementedError) as error:
        text = str(error)
        if "imagecodecs" in text or "unsupported" in text.lower() or "not supported" in text.lower():
            reason = f"its compression {page.compression!s} has no decoder here ({text})"
            raise DataError(path, reason, "Run `pip install --upgrade imagecodecs`, or save it as LZW.") from error
        raise
    return np.asarray(array)


def _ordered(array: np.ndarray, axes: str) -> np.ndarray:
    """Bring an array to (X, Y, Z, C)."""
    order: list[int] = [axes.index("X"), axes.index("Y")]
    stack = [index for index, axis in enumerate(axes) if axis not in "XYSC"]
    planes = [index for index, axis in enumerate(axes) if axis in "SC"]
    moved = array.transpose(*order, *stack, *planes)
    depth = int(np.prod([array.shape[index] for index in stack], dtype=int))
    return moved.reshape(moved.shape[0], moved.shape[1], depth, -1)


def _whitened(path: Path, array: np.ndarray, bits: int) -> np.ndarray:
    """Turn white-is-zero numbers: 0 becomes the largest that the depth holds."""
    if array.dtype == np.bool_:
        return ~array
    if array.dtype.kind != "u":
        raise DataError(path, "white is zero, and its numbers are signed or floats", "Save it with black as zero.")
    return np.asarray(((2**bits - 1) - array).astype(array.dtype))


def _has_alpha(page: TiffPage, channels: int) -> bool:
    """Whether the last channel is opacity: the tag says so (1 associated, 2 unassociated); 0 is a plane like others."""
    extra = tuple(int(kind) for kind in page.extrasamples)
    return channels in (2, 4) and extra[-1:] in ((1,), (2,))


def _colours(page: TiffPage, lengths: dict[str, int]) -> int:
    return lengths["C"] - int(_has_alpha(page, lengths["C"]))


def _alike(tiff: TiffFile, page: TiffPage) -> list[TiffPageSeries]:
    """Return the first series and those of the same kind: pages that a writer appended, each as a picture by itself."""
    first = tiff.series[0]
    return [first, *(one for one in tiff.series[1:] if len(first.levels) == 1 and _is_like(one, first, page))]


def _is_like(other: TiffPageSeries, first: TiffPageSeries, page: TiffPage) -> bool:
    key = other.keyframe
    return (
        isinstance(key, TiffPage)
        and len(other.levels) == 1
        and other.get_shape(False) == first.get_shape(False)
        and _axes(other) == _axes(first)
        and other.dtype == first.dtype
        and (key.photometric, key.bitspersample) == (page.photometric, page.bitspersample)
        and key.extrasamples == page.extrasamples
        and key.tags.valueof("Orientation", default=1) == page.tags.valueof("Orientation", default=1)
        and np.array_equal(np.asarray(key.colormap), np.asarray(page.colormap))
    )


def _left_out(tiff: TiffFile, read: int) -> tuple[str, ...]:
    others = len(tiff.series) - read
    return (f"{others} further pictures of other sizes or kinds in the file are left out",) if others > 0 else ()


def _elsewhere(tiff: TiffFile) -> tuple[str, ...]:
    """Say that a description takes pages from other files, which is not followed."""
    if not tiff.is_ome or tiff.series[0].kind == "ome" or "FileName=" not in str(tiff.ome_metadata):
        return ()
    return ("its description names other files; the pages of this one alone are read",)


def _holes(series: TiffPageSeries) -> tuple[str, ...]:
    """Say which strips or tiles were never written: they are read as 0."""
    counts = [count for page in series.pages if isinstance(page, TiffPage) for count in page.databytecounts]
    empty = sum(count == 0 for count in counts)
    return (f"{empty} of its {len(counts)} strips or tiles hold nothing and are read as 0",) if empty else ()


def _by_pillow(path: Path, label: bool) -> Raw:
    """Read what is left (CMYK, CIELAB, subsampled YCbCr) as the RGB picture that libtiff makes of it."""
    with opened(path, ("TIFF",)) as picture:
        if getattr(picture, "n_frames", 1) > 1:
            raise _refused_mode(path, f"{picture.mode} on {picture.n_frames} pages")  # type: ignore[attr-defined]
        if label or picture.mode not in ("CMYK", "LAB", "YCbCr", "RGB", "RGBX"):
            raise _refused_mode(path, picture.mode)
        shown = picture if picture.mode == "RGB" else _to_rgb(picture)
        array = np.asarray(shown)
    return Raw(path, np.swapaxes(array, 0, 1), np.eye(4), volume=False, notes=(f"{picture.mode} became RGB",))


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode != "LAB":
        return picture.convert("RGB")
    from PIL import ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("its CIELAB colours have no conversion")
    return converted


def _refused_mode(path: Path, mode: str) -> DataError:
    return DataError(path, f"its colours are {mode}, which is not read", "Export it as RGB or grey.")
