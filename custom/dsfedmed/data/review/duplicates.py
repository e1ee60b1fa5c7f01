# SPDX-License-Identifier: Apache-2.0
"""The same image in two files: by content, by pixels, and nearly.

Only what is on this machine is compared. Across hospitals this stays undone, and on purpose: a hash tells whoever holds
the same image that it is there, and a thumbnail is an image; neither may leave a hospital.

Exact copies are found by sorting hashes. Near copies need every pair of thumbnails (`alike_pairs`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from dsfedmed.data.review.alike import alike_pairs
from dsfedmed.data.review.items import ReviewedItem
from dsfedmed.store.files import file_sha256

SHARE_OF_SLICES = 0.5
Kind: TypeAlias = Literal["file", "content", "pixels", "near"]
FileKey: TypeAlias = tuple[int, int]


@dataclass(frozen=True, eq=False)
class SiteImage:
    """A reviewed image and the folder of its site, so that several sites can be compared."""

    site: str
    reviewed: ReviewedItem

    @property
    def path(self) -> Path:
        """The image file."""
        return self.reviewed.item.image

    @property
    def part(self) -> str:
        """The part that it stands in."""
        return self.reviewed.part

    @property
    def case(self) -> tuple[str, str]:
        """Site and patient."""
        return self.site, self.reviewed.item.case


@dataclass(frozen=True)
class Copy:
    """Two entries of datalists that hold one image.

    Attributes:
        kind: "file" (one file under two names or patients), "content" (two files, the same bytes), "pixels" (the same
            pixels at 8 bits) or "near" (thumbnails that correlate by `thumbnail.ALIKE` or more).
        first, second: the images, in the order in which they were given; for volumes one slice of each.
        likeness: correlation of the thumbnails, -1 to 1; 1 for exact copies.
    """

    kind: Kind
    first: SiteImage
    second: SiteImage
    likeness: float = 1.0


def find_copies(images: Sequence[SiteImage]) -> list[Copy]:
    """Return the pairs of files that hold one image, exact ones first, each pair of files once.

    Slices of one file are no copies of each other, and near copies within one patient are none either. A volume is a
    copy of another where at least half of its slices (of those with structure) have a counterpart there. Images of one
    grey value are left out: they are all the same. Of many copies of one image, each is told with the first.

    Args:
        images: of one site or of several, as read: their files exist.
    """
    files = _Files(images)
    copies = _one_file(files)
    known = {files.pair(copy) for copy in copies}
    for find in (_same_content, _same_pixels, _near):
        repeated = {files.key(copy.second) for copy in copies if len(files.pair(copy)) == 2}
        for copy in find(files, repeated):
            if files.pair(copy) not in known:
                known.add(files.pair(copy))
                copies.append(copy)
    return copies


class _Files:
    """The images by file: two paths that lead to one file (a link, another spelling) are one file."""

    def __init__(self, images: Sequence[SiteImage]) -> None:
        self.images = images
        self.groups: dict[FileKey, list[SiteImage]] = defaultdict(list)
        self._keys: dict[Path, FileKey] = {}
        for image in images:
            if image.path not in self._keys:
                status = image.path.stat()
                self._keys[image.path] = (status.st_dev, status.st_ino)
            self.groups[self.key(image)].append(image)

    def key(self, image: SiteImage) -> FileKey:
        """Return what tells the image's file from others."""
        return self._keys[image.path]

    def pair(self, copy: Copy) -> frozenset[FileKey]:
        """Return the files of a copy: two, or one that stands twice."""
        return frozenset((self.key(copy.first), self.key(copy.second)))

    def structured(self, key: FileKey) -> int:
        """Return how many of the file's images have more than one grey value."""
        return sum(bool(image.reviewed.pixels) for image in self.groups[key])

    def of_volumes(self, kind: Kind, pairs: Iterable[tuple[SiteImage, SiteImage, float]]) -> list[Copy]:
        """Return the best pair of images of every two files that have enough in common."""
        best: dict[tuple[FileKey, FileKey], Copy] = {}
        matched: dict[tuple[FileKey, FileKey], tuple[set[int], set[int]]] = {}
        for first, second, likeness in pairs:
            both = self.key(first), self.key(second)
            if both[0] == both[1]:
                continue
            sides = matched.setdefault(both, (set(), set()))
            sides[0].add(id(first))
            sides[1].add(id(second))
            if both not in best or likeness > best[both].likeness:
                best[both] = Copy(kind, first, second, likeness)
        return [copy for both, copy in best.items() if self._is_enough(both, matched[both])]

    def _is_enough(self, both: tuple[FileKey, FileKey], matched: tuple[set[int], set[int]]) -> bool:
        counts = [self.structured(key) for key in both]
        smaller = counts.index(min(counts))
        return len(matched[smaller]) >= SHARE_OF_SLICES * counts[smaller]


def _one_file(files: _Files) -> list[Copy]:
    """Return entries that lead to one file under two paths, patients, parts or sites."""
    found = []
    for group in files.groups.values():
        entries: dict[Hashable, SiteImage] = {}
        for image in group:
            entries.setdefault((image.path, image.part, image.case), image)
        first, *others = entries.values()
        found += [Copy("file", first, other) for other in others]
    return found


def _same_content(files: _Files, repeated: Set[FileKey]) -> list[Copy]:
    """Return files with the same bytes; only files of one length are read."""
    lengths: dict[int, list[SiteImage]] = defaultdict(list)
    for key, group in files.groups.items():
        if key not in repeated and group[0].path.is_file() and files.structured(key):
            lengths[group[0].path.stat().st_size].append(group[0])
    found = []
    for group in lengths.values():
        if len(group) > 1:
            found += _stars("content", group, lambda image: file_sha256(image.path))
    return found


def _same_pixels(files: _Files, repeated: Set[FileKey]) -> list[Copy]:
    """Return files with the same pixels, such as a copy in another lossless format."""
    images = [image for image in files.images if image.reviewed.pixels and files.key(image) not in repeated]
    stars = _stars("pixels", images, lambda image: image.reviewed.pixels)
    return files.of_volumes("pixels", ((copy.first, copy.second, 1.0) for copy in stars))


def _near(files: _Files, repeated: Set[FileKey]) -> list[Copy]:
    """Return files of different patients that look the same; exact copies of an earlier file are told already."""
    images = [image for image in files.images if files.key(image) not in repeated]
    thumbnails = [(image, image.reviewed.thumbnail) for image in images]
    known = [(image, thumbnail) for image, thumbnail in thumbnails if thumbnail is not None]
    images = [image for image, _ in known]
    pairs = alike_pairs([thumbnail for _, thumbnail in known], [image.case for image in images])
    return files.of_volumes("near", ((images[i], images[j], likeness) for i, j, likeness in pairs))


def _stars(kind: Kind, images: Iterable[SiteImage], value: Callable[[SiteImage], str]) -> list[Copy]:
    """Return the first image of every value, paired with each of the others."""
    groups: dict[str, list[SiteImage]] = defaultdict(list)
    for image in images:
        groups[value(image)].append(image)
    return [Copy(kind, first, other) for first, *others in groups.values() for other in others]
