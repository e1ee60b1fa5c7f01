# SPDX-License-Identifier: Apache-2.0
"""A site with fewer labels: some of its training images, drawn by a seed; validation and test part as they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from dsfedmed.data.datalist import FILE_NAME, PARTS, load_datalist
from dsfedmed.documents import read_json
from dsfedmed.errors import DataError
from dsfedmed.options import require
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.store.files import write_json


def subset_site(folder: Path, out: Path, training: int, seed: int) -> Path:
    """Copy a site with at most ``training`` entries in its training part; return the new folder ``out / its name``.

    The draw depends on the seed, the site's name and its datalist alone; a smaller draw is part of a larger one.

    Args:
        folder: the site, with its ``datalist.json``.
        out: folder of the new sites, outside ``folder``.
        training: entries of the training part to keep; a site with fewer keeps all. A volume is one entry.
        seed: of the draw.

    Raises:
        DataError: the datalist cannot be read, or the new folder is there already.
    """
    require(training > 0, "training", f"{training} is below 1", "Give at least one image")
    load_datalist(folder)  # every problem of the datalist, before anything is copied
    document: dict[str, Any] = read_json(folder / FILE_NAME)
    target = out / folder.name
    if target.exists():
        raise DataError(target, "is there already", "Choose another folder, or remove it")
    entries = document.get("training", [])
    draws = generator(derive_seed(seed, folder.name, "subset"))
    chosen = torch.randperm(len(entries), generator=draws)[:training].tolist()
    document |= {"training": [entries[index] for index in sorted(chosen)]}
    if "numTraining" in document:
        document["numTraining"] = len(chosen)
    for name in sorted(set(_files(document))):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target / name)
    write_json(target / FILE_NAME, document)
    return target


def _files(document: dict[str, Any]) -> Iterator[str]:
    for part in PARTS:
        for entry in document.get(part) or []:
            item = {"image": entry} if isinstance(entry, str) else entry
            yield from (str(item[key]) for key in ("image", "label") if item.get(key) is not None)
