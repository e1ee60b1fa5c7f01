# SPDX-License-Identifier: Apache-2.0
"""The key of a run: what ``{run}`` stands for in the paths that a party keeps to itself."""

from __future__ import annotations

from dsfedmed.settings import Settings
from dsfedmed.store.stage_store import config_hash


def run_key(settings: Settings, method: str) -> str:
    """Return the method's name and a hash of the settings.

    A job that is submitted again with the same settings has the same key, at the server and at every site, and goes on
    behind its last complete stage. Another seed or another number of rounds is another run.
    """
    return f"{method}-{config_hash(settings.to_dict())}"
