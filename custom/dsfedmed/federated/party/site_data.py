# SPDX-License-Identifier: Apache-2.0
"""The fingerprint of a site's data: whether they are still those that a run began with.

The site keeps hashes of its files in its own folder, and says one digest over all of them to the server.
"""

from __future__ import annotations

from pathlib import Path

from dsfedmed.data.datalist import FILE_NAME, SiteDatalist
from dsfedmed.store.fingerprint import Fingerprint, fingerprint, read_fingerprint

MEMORY = "data_files.json"
"""Below a site's own folder: what its files' hashes were."""
SITE_DATA = "site data"
"""The stage store's entry with the digest of each site's data when the run first met it."""
PUBLIC_DATA = "public data"
"""The stage store's entry with the digest of the server's public set (SAM-Fed)."""
PUBLIC_MEMORY = "public_files.json"
"""Below the run folder: the hashes of the public set's files."""


def data_fingerprint(datalist: SiteDatalist, memory: Path) -> Fingerprint:
    """Return the fingerprint of a datalist and of all files that it names; nothing is written.

    Args:
        datalist: of the site.
        memory: the file with the hashes of an earlier time; files that look unchanged are not read again.

    Raises:
        StoreError: a file is not there or cannot be read.
    """
    items = [item for part in datalist.parts.values() for item in part]
    named = {path for item in items for path in (item.image, *item.channel_files, *item.labels)}
    return fingerprint(datalist.root, [datalist.root / FILE_NAME, *named], read_fingerprint(memory))


def remembered_sha256(datalist: SiteDatalist, memory: Path) -> str:
    """Return the digest of a site's data, and remember the hashes for the next time.

    Raises:
        StoreError: a file cannot be read, or the memory cannot be written.
    """
    found = data_fingerprint(datalist, memory)
    if found != read_fingerprint(memory):
        found.write(memory)
    return found.sha256
