# SPDX-License-Identifier: Apache-2.0
"""Names of sites: as people write them, and as they travel.

NVFlare's parties, task messages and file names take letters, digits, ``_`` and ``-`` only. A folder that is called
otherwise ("Klinik Nord", "st.anna") gets such a name from its own one, the same in every run, with a hash at its end:
no other site has it, and no word of a text is mistaken for it. People are shown the folder's own name everywhere.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, TypeVar

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
"""Names that travel as they are."""
TAKEN = frozenset({"server", "admin", "relay"})
"""Plain names that parties of other kinds have."""
GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
READABLE = 40
"""Letters of the own name that a made one keeps at most."""
ValueT = TypeVar("ValueT")


def own_name(folder: str) -> str:
    """Return a folder's name as it is shown: letters with their marks composed (NFC), however the disk has them."""
    return unicodedata.normalize("NFC", folder)


def plain_name(own: str) -> str:
    """Return the name under which a site travels: its own one where that is plain, else one made of it.

    Args:
        own: the site's own name, any printable text.

    Returns:
        1 to 64 letters, digits, ``_`` and ``-``; the same for the composed and the decomposed form of a name.
    """
    own = own_name(own)
    if PLAIN.fullmatch(own) and own.lower() not in TAKEN:
        return own
    letters = unicodedata.normalize("NFKD", own.translate(GERMAN)).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9]+", "_", letters).strip("_")[:READABLE] or "site"
    return f"{readable}-{hashlib.sha256(own.encode()).hexdigest()[:8]}"


def with_own_names(value: ValueT, own: Mapping[str, str]) -> ValueT:
    """Return texts, lists and mappings with every site's plain name replaced by its own, keys included.

    A name that is a part of a path stays: it names a file.

    Args:
        value: JSON-like, at any depth.
        own: own name by plain name, of the sites where the two differ.
    """
    if not own:
        return value
    pattern = re.compile(rf"(?<![\w/-])({'|'.join(map(re.escape, own))})(?![\w/-])")

    def replace(found: Any) -> Any:
        if isinstance(found, str):
            return pattern.sub(lambda match: own[match[0]], found)
        if isinstance(found, Mapping):
            return {replace(key): replace(entry) for key, entry in found.items()}
        return [replace(entry) for entry in found] if isinstance(found, (list, tuple)) else found

    replaced: ValueT = replace(value)
    return replaced
