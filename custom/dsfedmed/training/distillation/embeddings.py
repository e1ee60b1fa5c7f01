# SPDX-License-Identifier: Apache-2.0
"""The frozen encoder's embeddings of the synthetic set: computed once, kept on disk, read by index.

During distillation only the teacher's decoder learns (released code of DSFedMed, arXiv 2601.16073), so the embedding
of an image never changes. Each is stored as fp16 (SAM ViT-B: 256 x 64 x 64, 2 MiB an image) in one ``.npy`` file, read
through a memory map. The file is named by a hash of the encoder's weights and of the set; a JSON file beside it,
written last, holds the file's own hash. A file that is missing, truncated or altered is computed again.

fp16 keeps about three decimal digits; SAM's encoder ends in a layer normalisation, so values are of the order of one.
With ``autocast`` the encoder itself runs in a shorter number format, and the file is another one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dsfedmed.documents import read_json
from dsfedmed.errors import DSFedMedError
from dsfedmed.training.pool import ENCODER_PREFIX, Pool, Teacher, device_of, index_batches
from dsfedmed.training.precision import Autocast, autocast

CHUNK_BYTES = 1 << 22


class Embeddings:
    """A memory-mapped (N, E, h, w) fp16 array.

    Args:
        path: a ``.npy`` file that ``open_embeddings`` has verified.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._array = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        """Return the number of samples."""
        return int(self._array.shape[0])

    def read(self, indices: list[int], device: str | torch.device = "cpu") -> Tensor:
        """Return the embeddings (n, E, h, w) of these samples as float32; half of the bytes go to the device."""
        return torch.from_numpy(np.asarray(self._array[indices])).to(device).float()


def open_embeddings(
    folder: Path,
    teacher: Teacher,
    pool: Pool,
    set_hash: str,
    batch_size: int = 16,
    on_batch: Callable[[int, int], None] | None = None,
    precision: Autocast = "off",
) -> Embeddings:
    """Return the embeddings of ``pool``, from ``folder`` if a valid file is there, else computed and stored.

    Args:
        folder: where the files lie; made if missing.
        teacher: its ``encode`` is used, without gradients and in evaluation mode.
        pool: the synthetic set.
        set_hash: identity of the set as it is now, vetoes included, such as its sealed manifest's sha256.
        batch_size: images encoded at once.
        on_batch: called with (images done, images in all) while computing.
        precision: number format of the encoder's pass, as in ``ServerDistillationConfig.autocast``.

    Raises:
        DSFedMedError: the encoder gave values that are not finite in fp16.
    """
    encoder = {name: value for name, value in teacher.state_dict().items() if name.startswith(ENCODER_PREFIX)}
    suffix = "" if precision == "off" else f"-{precision}"
    path = folder / f"embeddings-{embedding_key(encoder, set_hash)[:32]}{suffix}.npy"
    if not _is_valid(path, len(pool)):
        _compute(path, teacher, pool, batch_size, on_batch, precision)
    return Embeddings(path)


def embedding_key(encoder: Mapping[str, Tensor], set_hash: str) -> str:
    """Return the sha256 over the encoder's tensors (names, shapes, dtypes, bytes) and the set's hash."""
    digest = hashlib.sha256(set_hash.encode())
    for name in sorted(encoder):
        value = encoder[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _side_file(path: Path) -> Path:
    return path.with_suffix(".json")


def _is_valid(path: Path, count: int) -> bool:
    """Say whether the file is whole, unaltered and has ``count`` samples."""
    if not path.is_file() or not _side_file(path).is_file():
        return False
    try:
        facts = read_json(_side_file(path))
    except ValueError:
        return False
    named = isinstance(facts, dict) and facts.get("count") == count
    return named and facts.get("bytes") == path.stat().st_size and facts.get("sha256") == _file_hash(path)


def _compute(
    path: Path,
    teacher: Teacher,
    pool: Pool,
    batch_size: int,
    on_batch: Callable[[int, int], None] | None,
    precision: Autocast,
) -> None:
    """Encode the pool into a temporary file, then move it into place, then write its side file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _side_file(path).unlink(missing_ok=True)
    partial = path.with_name(path.name + ".partial")
    array: np.memmap | None = None
    teacher.eval()
    for batch in index_batches(range(len(pool)), batch_size):
        values = _encode(teacher, pool.images(batch), precision)
        if array is None:
            shape = (len(pool), *values.shape[1:])
            array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
        array[batch] = values.numpy()
        if on_batch is not None:
            on_batch(batch[-1] + 1, len(pool))
    if array is None:
        raise DSFedMedError("synthetic set", "it is empty", "Keep at least one sample when auditing")
    array.flush()
    del array
    os.replace(partial, path)
    facts = {"count": len(pool), "bytes": path.stat().st_size, "sha256": _file_hash(path)}
    _side_file(path).write_text(json.dumps(facts), encoding="utf-8")


@torch.no_grad()
def _encode(teacher: Teacher, images: Tensor, precision: Autocast) -> Tensor:
    images = images.to(device_of(teacher))
    with autocast(images.device, precision):
        values = teacher.encode(images).to(torch.float16).cpu()
    if not bool(torch.isfinite(values).all()):
        fix = "Look at the encoder's checkpoint; its output must end in a normalisation"
        raise DSFedMedError("teacher encoder", "its embeddings are not finite in fp16", fix)
    return values


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
