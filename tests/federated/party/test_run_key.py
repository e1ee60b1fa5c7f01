# SPDX-License-Identifier: Apache-2.0
"""The key of a run: the same for the same settings, another for any other."""

from __future__ import annotations

import dataclasses

from dsfedmed.federated.party.run_key import run_key
from dsfedmed.settings import Settings


def test_the_key_follows_every_setting() -> None:
    first = Settings()
    assert run_key(first, "dsfedmed") == run_key(Settings(), "dsfedmed")
    keys = {run_key(dataclasses.replace(first, **change), "dsfedmed") for change in ({}, {"seed": 1}, {"rounds": 61})}
    assert len(keys) == 3
    assert all(key.startswith("dsfedmed-") for key in keys)
