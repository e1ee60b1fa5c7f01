# SPDX-License-Identifier: Apache-2.0
"""A site's volumes at network size, decoded once and kept by their content in the site's own folder.

A flat picture is read as fast from its own file; a volume is unpacked, turned and resized slice by slice, at every
start of a worker anew. What is kept is named by the content of the site's files and by the bundle with its settings, so
that data or settings that changed are never taken for what they were.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import safetensors.torch as safetensors
import torch
from safetensors import SafetensorError, safe_open

from dsfedmed.data.arrays import SiteArrays
from dsfedmed.data.datalist import SiteDatalist
from dsfedmed.documents import parse_json
from dsfedmed.store.files import write_atomic
from dsfedmed.store.stage_store import config_hash

FOLDER = "volumes"


def kept_part(
    folder: Path, datalist: SiteDatalist, content: Callable[[], dict[str, str]], load: Callable[[], SiteArrays]
) -> SiteArrays:
    """Return a part of the site: from what was kept of the same content, else loaded and, of volumes, kept.

    Args:
        folder: the site's own.
        datalist: of the site; a site without volumes keeps nothing.
        content: what the arrays depend on: data, part and bundle, as hashes and names.
        load: reads the files.

    Raises:
        DataError: as ``load``. What was kept and cannot be read is loaded and kept anew.
    """
    if not any(item.slice_index is not None for part in datalist.parts.values() for item in part):
        return load()
    path = folder / FOLDER / f"{config_hash(content())}.safetensors"
    try:
        return _read(path)
    except (OSError, SafetensorError, KeyError, ValueError):
        arrays = load()
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"images": arrays.images.contiguous(), "labels": arrays.labels.contiguous()}
    said = {"cases": json.dumps(list(arrays.cases))}
    write_atomic(path, lambda part: safetensors.save_file(tensors, part, said))
    return arrays


def _read(path: Path) -> SiteArrays:
    with safe_open(path, "pt") as file:
        cases = tuple(str(case) for case in parse_json((file.metadata() or {})["cases"]))
        images, labels = file.get_tensor("images"), file.get_tensor("labels")
    if len(images) != len(cases) or len(labels) != len(cases) or not bool(torch.isfinite(images).all()):
        raise ValueError("it does not hold what was kept")
    return SiteArrays(images, labels, cases)
