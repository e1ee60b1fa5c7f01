# SPDX-License-Identifier: Apache-2.0
"""An official download as one list of files: a zip archive, or a folder with files and zip archives in it.

Nothing is unpacked to the names that an archive holds: members are read one by one and written under names of our own,
so an archive cannot write anywhere. Names that try to, encrypted members and links are refused all the same, because
no official archive has them.
"""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType

from dsfedmed.errors import DataError

MAX_BYTES = 1 << 30  # of one member; the largest official file, a dermoscopic picture, has some 20 MB
ENCRYPTED = 0x1


@dataclass(frozen=True)
class Member:
    """One file: its path with the source's name in front and archives as folders, and where it lies."""

    path: str
    bytes: int
    file: Path
    entry: str | None = None

    @property
    def where(self) -> Path:
        """Where a person finds it: the file, or the archive with the name in it behind."""
        return self.file if self.entry is None else self.file / self.entry

    @property
    def suffix(self) -> str:
        """Lower-case suffix; ``.nii.gz`` counts as one."""
        name = self.path.lower()
        return ".nii.gz" if name.endswith(".nii.gz") else PurePosixPath(name).suffix


class Source:
    """A download opened for reading; use it as a context manager.

    Args:
        path: a zip archive, or a folder; zip archives within the folder are read as if they were unpacked beside.

    Raises:
        DataError: when there is nothing at ``path``, or an archive is damaged, encrypted or holds odd names.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.sha256: dict[str, str] = {}
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self.members = tuple(sorted(self._scan(), key=lambda member: natural_key(member.path)))

    def __enter__(self) -> Source:
        """Return self."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the archives."""
        for archive in self._archives.values():
            archive.close()

    def index(self, pattern: str) -> dict[tuple[str, ...], Member]:
        """Return the members whose path fits ``pattern``, by the pattern's groups, in natural order of paths.

        Raises:
            DataError: when two members have the same groups, as with an archive and its unpacked folder side by side.
        """
        found: dict[tuple[str, ...], Member] = {}
        for member in self.members:
            match = re.search(pattern, member.path)
            if match is None:
                continue
            if match.groups() in found:
                reason = f"{found[match.groups()].path} and {member.path} are the same file of the data set"
                raise DataError(self.path, reason, "Keep either the archive or the unpacked folder, and one copy.")
            found[match.groups()] = member
        return found

    def read(self, member: Member) -> bytes:
        """Return a member's content; its SHA-256 is kept in ``sha256``.

        Raises:
            DataError: naming the member, when it cannot be read or its checksum in the archive is wrong.
        """
        try:
            if member.entry is None:
                content = member.file.read_bytes()
            else:
                content = self._archives[member.file].read(member.entry)
        # An archive's damage shows as any of these, depending on the place.
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(member.where, f"it cannot be read ({error})", "Download it again.") from error
        self.sha256[member.path] = hashlib.sha256(content).hexdigest()
        return content

    def missing(self, expected: str, homepage: str) -> DataError:
        """Return the error for a layout that is not there: what was expected, what is here, where to get it."""
        names = sorted({"/".join(member.path.split("/")[1:3]) for member in self.members}, key=natural_key)
        found = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "no file"
        return DataError(
            self.path, f"{expected} not found; it holds {found}", f"Get it from {homepage} and name its folder."
        )

    def _scan(self) -> list[Member]:
        if self.path.is_file():
            return self._scan_archive(self.path, self.path.stem)
        if not self.path.is_dir():
            raise DataError(self.path, "there is no such file or folder", "Name the downloaded archive or folder.")
        members: list[Member] = []
        name = self.path.resolve().name
        for file in self.path.rglob("*"):
            relative = file.relative_to(self.path)
            if not file.is_file() or _is_junk(relative.as_posix()):
                continue
            if file.suffix.lower() == ".zip":
                members += self._scan_archive(file, f"{name}/{relative.with_suffix('').as_posix()}")
            else:
                members.append(Member(f"{name}/{relative.as_posix()}", file.stat().st_size, file))
        return members

    def _scan_archive(self, file: Path, prefix: str) -> list[Member]:
        try:
            archive = self._archives[file] = zipfile.ZipFile(file)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(file, f"it is not a readable zip archive ({error})", "Download it again.") from error
        members = []
        for info in archive.infolist():
            _check_entry(file, info)
            if not info.is_dir() and not _is_junk(info.filename):
                members.append(Member(f"{prefix}/{info.filename}", info.file_size, file, info.filename))
        return members


def natural_key(text: str) -> list[tuple[int, str]]:
    """Return a sort key that puts slice 2 before slice 10."""
    pieces = re.split(r"(\d+)", text)
    return [(int(piece), "") if piece.isdigit() and piece.isascii() else (-1, piece) for piece in pieces]


def _is_junk(name: str) -> bool:
    """Tell hidden files and what macOS leaves in archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _check_entry(file: Path, info: zipfile.ZipInfo) -> None:
    name, fix = info.filename, "Use the official archive."
    outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in re.split(r"[/\\]", name)
    if outside or not name:
        raise DataError(file, f"its member {name!r} leads out of the archive", fix)
    if stat.S_ISLNK(info.external_attr >> 16):
        raise DataError(file, f"its member {name!r} is a link", fix)
    if info.flag_bits & ENCRYPTED:
        raise DataError(file, f"its member {name!r} is encrypted", "Unpack it with its password first.")
    if info.file_size > MAX_BYTES:
        raise DataError(file, f"its member {name!r} unpacks to {info.file_size} bytes", fix)
