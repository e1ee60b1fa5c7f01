# SPDX-License-Identifier: Apache-2.0
"""The images that are meant by a path: a file, a DICOM series, a site's test images, or all below a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dsfedmed.bundles.saving import result_stem
from dsfedmed.bundles.transforms import site_items
from dsfedmed.data.datalist import FILE_NAME
from dsfedmed.data.files.below import images_below, is_series_folder
from dsfedmed.data.files.kinds import read_kind
from dsfedmed.errors import DataError, one_line

FIX = "Name an image, a folder of images, or a folder that holds one DICOM series."


@dataclass(frozen=True)
class Source:
    """One image.

    Attributes:
        files: its file, the folder of its DICOM series, or a file for each channel.
        shown: what tables call it: its path below the folder that was given, as one printable line.
        name: where its results go below the folder of results, without what tells mask from overlay.
        options: ``window`` and ``channel_order``, where a datalist says them.
        twin: an earlier image with the same ``name``, whose results it would overwrite.
    """

    files: tuple[Path, ...]
    shown: str
    name: PurePosixPath
    options: Mapping[str, Any] = field(default_factory=dict)
    twin: str = ""

    @classmethod
    def of(cls, path: Path, root: Path | None = None) -> Source:
        """Return a file, or the folder of a series, as an image below ``root`` (by default its own folder)."""
        below = PurePosixPath(path.resolve().name if root is None else path.relative_to(root).as_posix())
        name = below if path.is_dir() else below.with_name(result_stem(Path(below)))
        return cls((path,), one_line(str(below)), name)

    def require_own_name(self) -> None:
        """Raise DataError where its results would overwrite another image's."""
        if self.twin:
            reason = f"its results would have the name of those of {self.twin}"
            raise DataError(self.files[0], reason, "Rename one of them.")


@dataclass(frozen=True)
class Sources:
    """The images in order, how many files were no images, and what should be said about the choice."""

    images: tuple[Source, ...]
    left_out: int = 0
    note: str = ""


def find_sources(path: Path, results: Path) -> Sources:
    """Return the images that a path means.

    A folder that holds one DICOM series is one image. One with a ``datalist.json`` is a site: its test images, as
    ``monai.bundle run`` takes them. Of any other folder all images are taken, those of its sub-folders as well.

    Args:
        path: a file or folder.
        results: the folder of results, where no image is looked for.

    Raises:
        DataError: there is nothing, or no image in it; it is the folder of results; or a datalist that cannot be read.
    """
    if not path.exists():
        raise DataError(path, "there is no such file or folder", FIX)
    if not path.is_dir():
        read_kind(path)  # a single file that is no image is said before anything is written
        return Sources((Source.of(path),))
    if path.resolve() == results.resolve():
        raise DataError(f"--out {results}", "it is the folder of the images", "Name another folder for the masks.")
    if is_series_folder(path):
        return Sources((Source.of(path),))
    if (path / FILE_NAME).is_file():
        listed = tuple(_apart(_of_site(path)))
        return Sources(listed, note=f"it is a site ({FILE_NAME}): the images of its test part are taken")
    found = images_below(path, results)
    if not found.images:
        raise DataError(path, "there is no image in it", FIX)
    return Sources(tuple(_apart(Source.of(image, path) for image in found.images)), found.left_out)


def _of_site(root: Path) -> Iterator[Source]:
    """Yield the test images, a volume once: the datalist names its slices."""
    seen: set[tuple[Path, ...]] = set()
    for item in site_items(str(root), "test"):
        given = item["image"]
        files = tuple(Path(name) for name in (given if isinstance(given, list) else [given]))
        if files in seen:
            continue
        seen.add(files)
        first = Source.of(files[0], root) if files[0].is_relative_to(root) else Source.of(files[0])
        options: dict[str, Any] = {name: item[name] for name in ("window", "channel_order") if name in item}
        yield Source(files, first.shown, first.name, options)


def _apart(sources: Iterator[Source]) -> Iterator[Source]:
    """Mark images whose results would get the name of an earlier one's (a.png and a.jpg in one folder)."""
    seen: dict[PurePosixPath, str] = {}
    for source in sources:
        other = seen.setdefault(source.name, source.shown)
        if other == source.shown:
            yield source
        else:
            yield Source(source.files, source.shown, source.name, source.options, twin=other)
