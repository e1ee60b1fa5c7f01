# SPDX-License-Identifier: Apache-2.0
"""DICOM objects, through pydicom: pictures, clips, enhanced volumes, segmentations, and folders that hold one series.

Nothing of the patient is kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from dsfedmed.data.files.dicom.reading import read_dataset
from dsfedmed.data.files.dicom.values import Shown, check_frames, frame_count, macro, no_picture, shown, stored
from dsfedmed.data.files.geometry import stand
from dsfedmed.data.files.kinds import SUFFIXES_OF, Kind, kind_of, suffix_of
from dsfedmed.data.files.limits import check_bytes
from dsfedmed.data.files.listing import list_images
from dsfedmed.data.files.raw import Raw
from dsfedmed.errors import DataError

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
GAP = 0.1  # of the usual distance between slices: steps that differ by more are a gap
MOST_OFF = 0.3  # of a step: how far a slice of a segmentation may lie from its place after a gap
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM counts towards left and back (PS3.3 C.7.6.2.1.1)


@dataclass(frozen=True)
class Place:
    """Where one frame lies: position of its first pixel (3,), directions of rows and columns (3,), spacing in mm."""

    position: np.ndarray
    along_row: np.ndarray
    down_column: np.ndarray
    spacing: tuple[float, float]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the frame."""
        return np.cross(self.along_row, self.down_column)

    def affine(self, step: np.ndarray) -> np.ndarray:
        """Return 4 x 4 from (column, row, slice) to RAS+ mm; ``step`` leads from slice to slice."""
        result = np.eye(4)
        result[:3, 0] = self.along_row * self.spacing[1]
        result[:3, 1] = self.down_column * self.spacing[0]
        result[:3, 2], result[:3, 3] = step, self.position
        return np.asarray(TO_RAS @ result)


@dataclass(frozen=True)
class Layers:
    """How a segmentation's frames lie: segment and slice of each frame, the slices in all, the volume's affine."""

    numbers: list[int]
    planes: list[int]
    count: int
    affine: np.ndarray


def place_dicom(path: Path) -> Raw:
    """Return what `read_dicom` will return with the numbers left unread (C is 0), from the headers."""
    if path.is_dir():
        found = series_headers(path)
        dataset, frames = found[0][1], len(found)
        stack = _series_affine(found) if frames > 1 else None
    else:
        dataset = read_dataset(path, header_only=True)
        check_frames(path, dataset)
        frames, stack = frame_count(dataset), _stack_affine(dataset)
    size = (int(dataset.get("Columns", 0) or 0), int(dataset.get("Rows", 0) or 0))
    if min(size) < 1:
        raise no_picture(path, dataset)
    if _is_segmentation(dataset) and not path.is_dir() and (layers := _layers(path, dataset)) is not None:
        return _segmented(path, np.empty((*size, layers.count, 0), dtype=np.uint8), layers.affine, told_channels=1)
    empty = np.empty((*size, frames, 0), dtype=np.uint8)
    place = _place(dataset) if frames == 1 and not path.is_dir() else None
    if stack is None and place is None:
        flat = empty[:, :, 0] if frames == 1 else empty
        return Raw(path, flat, np.eye(4), frames > 1, told_channels=_channels(dataset))
    affine = stack if stack is not None else place.affine(place.normal)  # type: ignore[union-attr]
    empty, frame, read = stand(empty, affine, turn=frames > 1)
    flat = empty[:, :, 0] if frames == 1 else empty
    return Raw(path, flat, read, frames > 1, frame=frame, told_channels=_channels(dataset))


def read_dicom(path: Path, label: bool = False) -> Raw:
    """Read a file, or a folder that holds one series.

    A picture stays as it is looked at; frames with places (enhanced CT and MR, segmentations) and series become a
    volume in the standard orientation of `geometry`; frames without (ultrasound clips) become slices in their order.

    Raises:
        DataError: naming the file, or of a series the files between which slices are missing.
    """
    if path.is_dir():
        return _read_series(path, label)
    dataset = read_dataset(path)
    if _is_segmentation(dataset):
        return _read_segmentation(path, dataset)
    return _raw(path, dataset, shown(path, dataset, label))


def series_headers(folder: Path) -> list[tuple[Path, Dataset]]:
    """Return files and headers of a folder's one series, in order of position.

    Raises:
        DataError: naming the folder or file: no DICOM, several series, sizes or directions that differ, a place taken
            twice, or slices missing.
    """
    files, _ = series_files(folder)
    found = [(path, read_dataset(path, header_only=True)) for path in files]
    found = [(path, header) for path, header in found if "Rows" in header]
    if not found:
        raise DataError(folder, "it holds no DICOM pictures", "Name a file, or a folder that holds one series.")
    kinds = Counter(str(header.get("SeriesInstanceUID", "")) for _, header in found)
    if len(kinds) > 1:
        shown_counts = ", ".join(str(count) for _, count in kinds.most_common(6))
        raise DataError(folder, f"it holds {len(kinds)} series ({shown_counts} files)", "Put each in its own folder.")
    if len(found) == 1:
        return found
    places = [(path, header, _place(header)) for path, header in found]
    unplaced = [path for path, _, place in places if place is None]
    if unplaced:
        raise DataError(unplaced[0], "it says no position, so its place in the series is not known", "List it singly.")
    return _in_order(folder, [(path, header, place) for path, header, place in places if place is not None])


def series_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return a folder's DICOM files in order of names, and the files that are something else.

    Raises:
        DataError: naming a file that is empty, or is called DICOM and is none: a slice that was lost.
    """
    listing = list_images(folder)
    others = list(listing.left_out)
    files = []
    for path in listing.images:
        if kind_of(path) is Kind.DICOM:
            files.append(path)
        elif suffix_of(path) in SUFFIXES_OF[Kind.DICOM]:
            raise DataError(path, "it is called DICOM and its content is none", "Copy it again or take it out.")
        else:
            others.append(path)
    empty = [path for path in others if path.stat().st_size == 0]
    if empty and files:
        raise DataError(empty[0], "the file is empty, 0 bytes, within a series", "Copy it again or take it out.")
    return files, others


def _in_order(folder: Path, places: list[tuple[Path, Dataset, Place]]) -> list[tuple[Path, Dataset]]:
    first = places[0][2]
    for path, header, place in places:
        same = np.allclose(place.normal, first.normal, atol=1e-3) and np.allclose(
            place.spacing, first.spacing, rtol=1e-3
        )
        if not same or (header.Rows, header.Columns) != (places[0][1].Rows, places[0][1].Columns):
            reason = f"its size, direction or spacing is not that of {places[0][0].name}"
            raise DataError(path, reason, "Keep localisers and other views in folders of their own.")
    lying = ((float(place.position @ first.normal), path, header) for path, header, place in places)
    along = sorted(lying, key=itemgetter(0))
    steps = np.diff([distance for distance, _, _ in along])
    usual = float(np.median(steps))
    for (_, one, _), (_, other, _), step in zip(along, along[1:], steps, strict=False):
        if step <= max(1e-3, GAP * usual):
            raise DataError(other, f"it is at the position of {one.name}", "Keep one image a position (one phase).")
        if abs(step - usual) > GAP * usual:
            reason = f"between {one.name} and it lie {step:.4g} mm, elsewhere {usual:.4g} mm"
            raise DataError(other, reason, f"Add the missing slices to {folder.name}, or cut the series there.")
    return [(path, header) for _, path, header in along]


def _read_series(folder: Path, label: bool) -> Raw:
    found = series_headers(folder)
    check_bytes(folder, (len(found), int(found[0][1].Rows), int(found[0][1].Columns), _channels(found[0][1])), 4)
    slices = []
    for path, _ in found:
        dataset = read_dataset(path)
        if frame_count(dataset) > 1:
            raise DataError(path, "it holds several frames within a series", "Put it in a folder of its own.")
        slices.append(shown(path, dataset, label))
    kinds = {part.window for part in slices}
    notes = tuple(dict.fromkeys(note for part in slices for note in part.notes))
    _, others = series_files(folder)
    if others:
        notes = (*notes, f"{len(others)} files in it are no DICOM and are left out ({others[0].name})")
    window = next(iter(kinds)) if len(kinds) == 1 else None
    if len(kinds) > 1:
        notes = (*notes, f"its slices name {len(kinds)} windows; grey values are scaled by percentiles")
    senses = {part.low_is_white for part in slices}
    if len(senses) > 1:
        raise DataError(folder, "low values are white in some of its slices only", "Export the series again.")
    array = np.concatenate([part.array for part in slices]).transpose(2, 1, 0, 3)
    raw = Raw(folder, array, np.eye(4), True, window=window, low_is_white=senses == {True}, notes=notes)
    if len(found) == 1:
        return replace(raw, array=array[:, :, 0], volume=False)
    array, frame, affine = stand(array, _series_affine(found))
    return replace(raw, array=array, affine=affine, frame=frame)


def _series_affine(found: list[tuple[Path, Dataset]]) -> np.ndarray:
    first, last = _place(found[0][1]), _place(found[-1][1])
    assert first is not None
    assert last is not None
    return first.affine((last.position - first.position) / (len(found) - 1))


def _raw(path: Path, dataset: Dataset, part: Shown) -> Raw:
    array = part.array.transpose(2, 1, 0, 3)
    raw = Raw(path, array, np.eye(4), True, window=part.window, low_is_white=part.low_is_white, notes=part.notes)
    if array.shape[2] == 1:
        place = _place(dataset)
        if place is None:
            return replace(raw, array=array[:, :, 0], volume=False)
        array, frame, affine = stand(array, place.affine(place.normal), turn=False)
        return replace(raw, array=array[:, :, 0], affine=affine, volume=False, frame=frame)
    stack = _stack_affine(dataset)
    if stack is None:
        return replace(
            raw, notes=(*part.notes, f"{array.shape[2]} frames without positions, taken as slices in their order")
        )
    array, frame, affine = stand(array, stack)
    return replace(raw, array=array, affine=affine, frame=frame)


def _stack_affine(dataset: Dataset) -> np.ndarray | None:
    """Return the affine of frames that lie evenly behind each other in their order; None where they do not say."""
    count = frame_count(dataset)
    if count < 2 or not _tells_of_each(dataset, count):
        return None
    places = [_place(dataset, number) for number in range(count)]
    known = [place for place in places if place is not None]
    if len(known) != len(places):
        return None
    steps = np.diff([place.position for place in known], axis=0)
    usual = np.median(steps, axis=0)
    if np.linalg.norm(usual) < 1e-6 or np.abs(steps - usual).max() > GAP * np.linalg.norm(usual):
        return None
    return known[0].affine(usual)


def _is_segmentation(dataset: Dataset) -> bool:
    return str(dataset.get("SOPClassUID", "")) == SEGMENTATION


def _read_segmentation(path: Path, dataset: Dataset) -> Raw:
    """Read a segmentation (PS3.3 C.8.20): each frame shows one segment at one place; numbers become label values.

    Frames without a place or segment are slices of a two-valued mask in their order. Where segments overlap the higher
    number wins.
    """
    if str(dataset.get("SegmentationType", "BINARY")) == "FRACTIONAL":
        reason = "it is a fractional segmentation, whose values are probabilities"
        raise DataError(path, reason, "Export it as a binary segmentation.")
    frames = stored(path, dataset)[..., 0] != 0
    layers = _layers(path, dataset)
    if layers is None:
        array = frames.astype(np.uint8).transpose(2, 1, 0)[..., None]
        flat = array.shape[2] == 1
        return Raw(path, array[:, :, 0] if flat else array, np.eye(4), volume=not flat)
    volume = np.zeros((frames.shape[2], frames.shape[1], layers.count), dtype=np.uint8)
    for frame, number, z in zip(frames, layers.numbers, layers.planes, strict=True):
        plane = volume[:, :, z]
        np.maximum(plane, frame.T.astype(np.uint8) * np.uint8(number), out=plane)
    return _segmented(path, volume[..., None], layers.affine)


def _segmented(path: Path, volume: np.ndarray, affine: np.ndarray, told_channels: int = 0) -> Raw:
    array, placed, read = stand(volume, affine, turn=volume.shape[2] > 1)
    flat = array.shape[2] == 1
    picture = array[:, :, 0] if flat else array
    return Raw(path, picture, read, volume=not flat, frame=placed, sparse=True, told_channels=told_channels)


def _layers(path: Path, dataset: Dataset) -> Layers | None:
    """Return how a segmentation's frames make a volume; None where one has no place or segment.

    Frames without any pixel need not be stored: slices are put where they are left out.

    Raises:
        DataError: naming the file, when the places are no multiples of one step, or ask for too many slices.
    """
    count = frame_count(dataset)
    if count > 1 and not _tells_of_each(dataset, count):
        return None
    numbers = [_segment(dataset, number) for number in range(count)]
    known = [place for number in range(count) if (place := _place(dataset, number)) is not None]
    segments = [number for number in numbers if number is not None]
    if len(known) < count or len(segments) < count:
        return None
    normal = known[0].normal
    along = np.array([float(place.position @ normal) for place in known])
    order = np.unique(np.round(along, 3))
    gaps = np.diff(order)
    step = float(gaps[gaps < 1.5 * gaps.min()].mean()) if len(gaps) else 1.0
    steps = np.rint(gaps / step)
    if (np.abs(gaps - steps * step) > step * np.minimum(GAP * steps, MOST_OFF)).any():
        raise DataError(path, "its slices lie at uneven distances", "Export it on the slices of its image.")
    heights = np.concatenate([[0.0], np.cumsum(steps)])
    slices = int(heights[-1]) + 1
    check_bytes(path, (slices, int(dataset.get("Rows", 0) or 0), int(dataset.get("Columns", 0) or 0)), 1)
    planes = [int(heights[np.abs(order - distance).argmin()]) for distance in along]
    first = known[int(along.argmin())]
    return Layers(segments, planes, slices, first.affine(normal * step))


def _tells_of_each(dataset: Dataset, count: int) -> bool:
    """Tell whether the header has an item for each frame: a number of frames is soon written, their places are not."""
    return len(dataset.get("PerFrameFunctionalGroupsSequence") or ()) >= count


def _segment(dataset: Dataset, frame: int) -> int | None:
    item = macro(dataset, frame, "SegmentIdentificationSequence")
    return None if item is None else int(item.ReferencedSegmentNumber)


def _place(dataset: Dataset, frame: int = 0) -> Place | None:
    """Return where a frame lies; None where its header does not say all of it."""
    position, direction, spacing = _place_numbers(dataset, frame)
    if position is None or direction is None:
        return None
    numbers = [float(value) for value in direction]
    if len(numbers) != 6 or len(position) != 3:
        return None
    gaps = [float(value) for value in spacing] if spacing is not None and len(spacing) == 2 else [1.0, 1.0]
    row, column = np.array(numbers[:3]), np.array(numbers[3:])
    at = np.array([float(value) for value in position])
    usable = np.isfinite([*row, *column, *at, *gaps]).all() and min(gaps) > 0
    usable = usable and abs(np.linalg.norm(np.cross(row, column)) - 1) < 0.01
    return Place(at, row, column, (gaps[0], gaps[1])) if usable else None


def _place_numbers(dataset: Dataset, frame: int) -> tuple[list[float] | None, list[float] | None, list[float] | None]:
    at = macro(dataset, frame, "PlanePositionSequence")
    towards = macro(dataset, frame, "PlaneOrientationSequence")
    measures = macro(dataset, frame, "PixelMeasuresSequence")
    position = (at if at is not None else dataset).get("ImagePositionPatient")
    direction = (towards if towards is not None else dataset).get("ImageOrientationPatient")
    spacing = (measures if measures is not None else dataset).get("PixelSpacing")
    if frame_count(dataset) > 1 and at is None:
        return None, None, None
    return position, direction, spacing


def _channels(dataset: Dataset) -> int:
    colour = str(dataset.get("PhotometricInterpretation", "")) == "PALETTE COLOR"
    return 3 if colour else int(dataset.get("SamplesPerPixel", 1) or 1)
