# SPDX-License-Identifier: Apache-2.0
"""A finished run is opened beside its sites, and nothing of it changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from dsfedmed.errors import ConfigError, StoreError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.finished_run import FinishedRun
from dsfedmed.federated.server.stages.generators import stored_masks
from dsfedmed.store.files import file_sha256, read_json, write_json
from tests.federated.server.conftest import Finished
from tests.federated.tiny import BUNDLES, SITES

PARTY = PartyConfig(bundles=BUNDLES)


def hashes(folder: Path) -> dict[Path, str]:
    return {path: file_sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_everything_that_was_kept_can_be_read(finished: Finished) -> None:
    before = hashes(finished.folder)
    opened = FinishedRun.open(finished.folder, finished.sites, PARTY)
    assert opened.sources == opened.branch_sites == SITES
    assert opened.plan.settings == finished.settings
    assert opened.plan.counts == dict.fromkeys(SITES, 4)
    assert opened.masks("site_a").shape == (4, 1, 32, 32)
    assert torch.equal(opened.masks("site_b"), stored_masks(opened.store, "site_b"))
    kept = opened.store.get("fit base").tensors
    state = opened.generator_base.unet.state_dict()
    assert all(any(torch.equal(tensor, other) for other in state.values()) for tensor in list(kept.values())[:3])
    first, second = (opened.branch(site).state_dict() for site in SITES)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert len(opened.validation("site_a")) == 8
    assert opened.validation("site_a") is opened.validation("site_a"), "read once"
    assert hashes(finished.folder) == before


def test_a_run_of_another_version_is_refused(finished: Finished, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(finished.folder / "store", old / "store")
    config = read_json(old / "store" / "config.json")
    write_json(old / "store" / "config.json", {**config, "version": "0.3.0"})
    with pytest.raises(StoreError, match=r"made by version 0\.3 of dsfedmed"):
        FinishedRun.open(old, finished.sites, PARTY)


def test_a_party_without_bundles_says_what_to_write(finished: Finished) -> None:
    with pytest.raises(ConfigError, match="`bundles` is not set"):
        FinishedRun.open(finished.folder, finished.sites, PartyConfig())
