# SPDX-License-Identifier: Apache-2.0
"""The synthetic-set store: hashed safetensors shards, written whole or not at all and read lazily.

A shard holds ``images`` and ``labels``, each a row of PNG files one behind the other, uint8 (bytes,), and where each
of them ends, ``images_ends`` and ``labels_ends``, int64 (n,).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dsfedmed.data.channels import usable_channels
from dsfedmed.data.manifest import Manifest, Shard, set_sha256
from dsfedmed.data.png import decode_png, pack_png
from dsfedmed.errors import PayloadError
from dsfedmed.store.files import write_bytes

Part = tuple[Tensor, Tensor, Sequence[str]]
_KINDS = {"images": ("U8", 1), "images_ends": ("I64", 1), "labels": ("U8", 1), "labels_ends": ("I64", 1)}
FETCH_AGAIN = "Remove it and fetch the set again; what else was computed stays."


def write_shards(
    folder: str | Path, images: Tensor, labels: Tensor, origin: Sequence[str], shard_size: int = 256
) -> Manifest:
    """Write the set as shards ``synthetic-00000.safetensors``... and return their manifest.

    Each shard is written beside its place and moved in when complete, so a shard that is there is whole. The bytes
    depend on the content only (and on Pillow's release): the same set gives the same hashes.

    Args:
        folder: made when missing.
        images: (N, C, S, S) uint8.
        labels: (N, 1, S, S) uint8.
        origin: N names of the sites whose branch made the image.
        shard_size: images per shard.

    Raises:
        ValueError: when shapes, types or counts do not fit together.
        StoreError: naming the file and the bytes needed, when the disk is full or not writable.
    """
    return write_parts(folder, [(images, labels, origin)], shard_size)


def write_parts(folder: str | Path, parts: Iterable[Part], shard_size: int = 256) -> Manifest:
    """Write a set that comes in parts (images, labels, origin), one after another: the same shards as from one piece.

    A shard is written as soon as it is full, so memory holds one part and one shard, however many parts there are.
    """
    folder = Path(folder)
    shards: list[Shard] = []
    origin: list[str] = []
    waiting: tuple[Tensor, Tensor] | None = None
    for images, labels, names in parts:
        if not len(images):
            continue
        _check_set(images, labels, names, shard_size)
        if waiting is not None and waiting[0].shape[1:] != images.shape[1:]:
            raise ValueError(f"images of a part are {tuple(images.shape[1:])}, not {tuple(waiting[0].shape[1:])}")
        origin += names
        waiting = (images, labels) if waiting is None else _joined(waiting, (images, labels))
        while len(waiting[0]) > shard_size:
            shards.append(_write_shard(folder, shards, waiting[0][:shard_size], waiting[1][:shard_size]))
            waiting = waiting[0][shard_size:], waiting[1][shard_size:]
    if waiting is None:
        raise ValueError("a set without images")
    shards.append(_write_shard(folder, shards, *waiting))
    channels, size = waiting[0].shape[1:3]
    return Manifest(tuple(shards), len(origin), channels, size, tuple(origin), set_sha256(shards, origin))


def _joined(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])


def _write_shard(folder: Path, before: Sequence[Shard], images: Tensor, labels: Tensor) -> Shard:
    name = f"synthetic-{len(before):05d}.safetensors"
    (rows, row_ends), (maps, map_ends) = pack_png(images), pack_png(labels)
    payload = save({"images": rows, "images_ends": row_ends, "labels": maps, "labels_ends": map_ends})
    write_bytes(folder / name, payload)
    first = before[-1].first_index + before[-1].count if before else 0
    return Shard(name, len(payload), hashlib.sha256(payload).hexdigest(), len(images), first)


def _check_set(images: Tensor, labels: Tensor, origin: Sequence[str], shard_size: int) -> None:
    if images.dtype != torch.uint8 or labels.dtype != torch.uint8:
        raise ValueError(f"images and labels are uint8, not {images.dtype} and {labels.dtype}")
    if images.ndim != 4 or images.shape[2] != images.shape[3] or not usable_channels(images.shape[1]):
        raise ValueError(f"images are (N, 1 to 16, S, S), not {tuple(images.shape)}")
    if labels.shape != (len(images), 1, *images.shape[2:]) or len(origin) != len(images) or not len(images):
        raise ValueError(f"{len(images)} images, labels {tuple(labels.shape)} and {len(origin)} origins do not fit")
    if shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}")


def verify_shard(path: str | Path, shard: Shard) -> None:
    """Compare a received shard with what the manifest announced.

    Raises:
        PayloadError: naming the file, when it is missing, of another length or of another hash.
    """
    path = Path(path)
    if not path.is_file():
        raise PayloadError(path, "the shard is missing", FETCH_AGAIN)
    size = path.stat().st_size
    if size != shard.bytes:
        word = "truncated" if size < shard.bytes else "too long"
        raise PayloadError(path, f"the shard is {word}: {size} of {shard.bytes} bytes", FETCH_AGAIN)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != shard.sha256:
        raise PayloadError(path, "the shard's hash is not the announced one", FETCH_AGAIN)


class SyntheticSet:
    """Random access to a verified set on disk; memory holds only what is asked for.

    Positions 0..len-1 count the kept images; ``kept[position]`` is the image's index in the whole set.
    """

    def __init__(self, folder: Path, manifest: Manifest, kept: np.ndarray) -> None:
        self.folder = folder
        self.manifest = manifest
        self.kept = kept
        self._first = np.array([shard.first_index for shard in manifest.shards])

    @classmethod
    def open(cls, folder: str | Path, manifest: Manifest, kept: Sequence[int] | None = None) -> SyntheticSet:
        """Verify every shard and open the set.

        Args:
            folder: where the shards lie.
            manifest: what was announced.
            kept: indices that survived the audit, ascending; None keeps all.

        Raises:
            PayloadError: when a shard is not as announced, or ``kept`` is out of range.
        """
        folder = Path(folder)
        for shard in manifest.shards:
            verify_shard(folder / shard.name, shard)
            _check_header(folder / shard.name, shard)
        chosen = np.arange(manifest.count) if kept is None else np.asarray(kept, dtype=np.int64)
        if len(np.unique(chosen)) != len(chosen) or ((chosen < 0) | (chosen >= manifest.count)).any():
            raise PayloadError(folder, "the kept indices repeat or lie outside the set", "Seal the set again.")
        return cls(folder, manifest, np.sort(chosen))

    def __len__(self) -> int:
        """Return the number of kept images."""
        return len(self.kept)

    @property
    def origin(self) -> tuple[str, ...]:
        """Site of each kept image."""
        return tuple(self.manifest.origin[index] for index in self.kept)

    def images(self, indices: Sequence[int] | Tensor | np.ndarray | None = None) -> Tensor:
        """Return images at these positions (all of them for None): (n, C, S, S) float32 in [0, 1]."""
        return self._read("images", indices).to(torch.float32).div_(255.0)

    def labels(self, indices: Sequence[int] | Tensor | np.ndarray | None = None) -> Tensor:
        """Return label maps at these positions (all of them for None): (n, 1, S, S) uint8."""
        return self._read("labels", indices)

    def _read(self, key: str, indices: Sequence[int] | Tensor | np.ndarray | None) -> Tensor:
        wanted = self.kept if indices is None else self.kept[np.asarray(indices, dtype=np.int64)]
        channels = self.manifest.channels if key == "images" else 1
        size = self.manifest.image_size
        result = torch.empty((len(wanted), channels, size, size), dtype=torch.uint8)
        home = np.searchsorted(self._first, wanted, side="right") - 1
        for number in np.unique(home):
            shard = self.manifest.shards[number]
            rows = np.flatnonzero(home == number)
            path = self.folder / shard.name
            with safe_open(path, framework="pt") as file:
                view, ends = file.get_slice(key), [0, *file.get_tensor(f"{key}_ends").tolist()]
                for row in rows:
                    local = int(wanted[row]) - shard.first_index
                    data = view[ends[local] : ends[local + 1]].numpy().tobytes()
                    result[row] = decode_png(data, channels, size, path)
        return result


def _check_header(path: Path, shard: Shard) -> None:
    """Check the tensors' names, types and lengths, and that the images' ends fit the bytes; decodes nothing."""
    try:
        with safe_open(path, framework="pt") as file:
            found = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
            kinds = {key: (view.get_dtype(), len(view.get_shape())) for key, view in found.items()}
            if kinds != _KINDS:
                raise PayloadError(path, f"the shard holds {kinds}, not {_KINDS}", FETCH_AGAIN)
            for key in ("images", "labels"):
                ends = file.get_tensor(f"{key}_ends")
                rising = bool((torch.diff(ends, prepend=ends.new_zeros(1)) > 0).all())
                if len(ends) != shard.count or not rising or [int(ends[-1])] != found[key].get_shape():
                    raise PayloadError(path, f"the ends of its {key} do not fit {shard.count} of them", FETCH_AGAIN)
    except SafetensorError as error:
        raise PayloadError(path, f"the shard is not a safetensors file ({error})", FETCH_AGAIN) from error
