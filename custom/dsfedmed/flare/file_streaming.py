# SPDX-License-Identifier: Apache-2.0
"""Large files go down by NVFlare's file download: the site pulls at its own pace, the server's memory does not grow."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nvflare.fuel.f3.streaming.file_downloader import add_file, download_file
from nvflare.fuel.f3.streaming.obj_downloader import ObjectDownloader

from dsfedmed.data.manifest import Manifest, Shard
from dsfedmed.data.synthetic import verify_shard
from dsfedmed.errors import PayloadError
from dsfedmed.federated.wire.specs import FileOffer, SetOffer
from dsfedmed.store.files import inside

REQUEST_TIMEOUT_S = 60.0
IDLE_TIMEOUT_S = 1800.0
TRIES = 3


def offer_files(folder: Path, manifest: Manifest, cell: Any) -> tuple[SetOffer, ObjectDownloader]:
    """Register the shards of ``manifest`` for download.

    Returns:
        What a site needs to pull them (goes with the task), and the transaction to delete when the task is over.
        The number of receivers stays open on purpose, since a task may be sent to the same site twice.
    """
    downloader = ObjectDownloader(cell=cell, timeout=IDLE_TIMEOUT_S, num_receivers=0)
    references = {shard.name: add_file(downloader, str(folder / shard.name)) for shard in manifest.shards}
    return SetOffer(manifest, cell.get_fqcn(), references), downloader


def pull_files(offer: SetOffer, folder: Path, cell: Any, abort_signal: Any) -> None:
    """Pull every shard that is not yet here with the right hash, and verify it.

    Raises:
        PayloadError: a shard is still truncated or altered after some tries; what arrived whole stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for shard in offer.manifest.shards:
        target = inside(folder, shard.name)
        if _whole(target, shard):
            continue
        if shard.name not in offer.references:
            raise PayloadError(shard.name, "was announced without a reference to pull it by", "Start the run again")
        source = FileOffer(offer.source, offer.references[shard.name])
        pull_file(source, target, partial(_whole, shard=shard), cell, abort_signal)


def offer_file(path: Path, cell: Any) -> tuple[FileOffer, ObjectDownloader]:
    """Register one file for download; see `offer_files`."""
    downloader = ObjectDownloader(cell=cell, timeout=IDLE_TIMEOUT_S, num_receivers=0)
    return FileOffer(cell.get_fqcn(), add_file(downloader, str(path))), downloader


def pull_file(offer: FileOffer, target: Path, is_whole: Callable[[Path], bool], cell: Any, abort_signal: Any) -> None:
    """Pull one file into its place and verify it there.

    Raises:
        PayloadError: it is still not what was announced after some tries.
    """
    for attempt in range(1, TRIES + 1):
        folder = str(target.parent)
        error, arrived = download_file(
            offer.source, offer.reference, REQUEST_TIMEOUT_S, cell, folder, abort_signal=abort_signal
        )
        if not error and arrived:
            os.replace(arrived, target)
        elif arrived:
            Path(arrived).unlink(missing_ok=True)
        if is_whole(target):
            return
        if attempt == TRIES:
            target.unlink(missing_ok=True)
            raise PayloadError(target.name, f"did not arrive whole after {TRIES} tries ({error})", "Run again")


def _whole(path: Path, shard: Shard) -> bool:
    try:
        verify_shard(path, shard)
    except PayloadError:
        return False
    return path.exists()
