# SPDX-License-Identifier: Apache-2.0
"""The official SAM checkpoints: which file is which, and whether a file is one of them.

Sizes and SHA-256 are those of the files behind the links in segment-anything's README; the six hex digits in a file's
name are the start of its MD5. Weights: Apache-2.0, Meta AI, "Segment Anything", arXiv 2304.02643.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from dsfedmed.errors import CheckpointError, ConfigError

LICENCE = "Apache-2.0"
SOURCE = "https://github.com/facebookresearch/segment-anything#model-checkpoints"
CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class OfficialCheckpoint:
    """One published file.

    Attributes:
        variant: key of ``VARIANTS``.
        file_name: its published name.
        size_bytes: its size.
        sha256: of the whole file, in hex.
    """

    variant: str
    file_name: str
    size_bytes: int
    sha256: str


OFFICIAL: dict[str, OfficialCheckpoint] = {
    entry.variant: entry
    for entry in (
        OfficialCheckpoint(
            "vit_b",
            "sam_vit_b_01ec64.pth",
            375_042_383,
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
        OfficialCheckpoint(
            "vit_l",
            "sam_vit_l_0b3195.pth",
            1_249_524_607,
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        OfficialCheckpoint(
            "vit_h",
            "sam_vit_h_4b8939.pth",
            2_564_550_879,
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
    )
}


def check_official(path: Path | str, variant: str) -> OfficialCheckpoint:
    """Return the table's entry when ``path`` is the official file of ``variant``, byte for byte.

    Raises:
        ConfigError: there is no official file of this variant.
        CheckpointError: no such file, or another size or SHA-256; the error names path, expected file, licence and
            where to get it.
    """
    entry = OFFICIAL.get(variant)
    if entry is None:
        raise ConfigError(
            "teacher variant", f"'{variant}' has no official SAM checkpoint", f"Choose one of {', '.join(OFFICIAL)}."
        )
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(path, f"no such file; {_expected(entry)} was expected", _way_on(entry))
    size = path.stat().st_size
    if size != entry.size_bytes:
        raise CheckpointError(
            path, f"has {size:,} bytes, so it is not {_expected(entry)}{_other(path)}", _way_on(entry)
        )
    found = file_sha256(path)
    if found != entry.sha256:
        reason = f"has the size of {entry.file_name} and SHA-256 {found[:12]}... instead of {entry.sha256[:12]}..."
        raise CheckpointError(path, reason, "The file is damaged or altered. " + _way_on(entry))
    return entry


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _expected(entry: OfficialCheckpoint) -> str:
    return f"{entry.file_name} ({entry.size_bytes:,} bytes, {LICENCE})"


def _way_on(entry: OfficialCheckpoint) -> str:
    return (
        f"Download {entry.file_name} from {SOURCE} and give its path; weights of your own go under another file name, "
        "and without any the teacher starts at random."
    )


def _other(path: Path) -> str:
    """Say so when the size is that of another variant's file."""
    size = path.stat().st_size
    found = next((entry for entry in OFFICIAL.values() if entry.size_bytes == size), None)
    return f" (it has the size of {found.file_name}: choose the variant {found.variant})" if found else ""
