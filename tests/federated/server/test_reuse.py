# SPDX-License-Identifier: Apache-2.0
"""A run that takes over another one's stages ends as if it had made them itself, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError, StoreError
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.server.reuse import reuse_stages
from dsfedmed.federated.server.stage_dependencies import CHAIN, STORED, reusable_stages
from dsfedmed.settings import Settings, merge
from dsfedmed.store.files import read_json
from tests.runs.commands import Run, run_job
from tests.runs.stored import stage_tensors

BASELINES = ("compare fedavg", "compare fedprox", "compare local", "compare centralised")
ALL = (*CHAIN, *BASELINES)


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"distillation": {"rate": 1.0}}, ()),
        ({"preset": "other", "compare": {"fedsam": True}, "legacy_eval": True}, ()),
        ({"schedule": {"site_kl_weight": 0.0}}, ("head start",)),
        ({"schedule": {"interval_rounds": 3}}, ("compare fedavg",)),
        ({"schedule": {"head_start_steps": 7}}, ("head start", "compare fedavg")),
        ({"compare": {"fedprox_mu": 0.5}}, ("compare fedprox",)),
        ({"teacher": {"epochs": 3}}, CHAIN[4:]),
        ({"synthetic": {"audit_quantile": 0.1}}, CHAIN[3:]),
        ({"synthetic": {"per_site": 9}}, CHAIN[1:]),
        ({"generator": {"branch_steps": 9}}, CHAIN[1:]),
        ({"generator": {"base_steps": 9}, "distillation": {"rate": 1.0}}, CHAIN),
        ({"rounds": 9}, BASELINES),
        ({"seed": 1}, ALL),
        ({"unseen": ["a"]}, ALL),
        ({"light_settings": {"learning_rate": 0.1}}, ALL),
        ({"light_settings": {"another_bundle/learning_rate": 0.1}}, ()),
        ({"generator_model": {"guidance": 2.0}}, ALL),
    ],
)
def test_what_a_change_costs(change: dict[str, Any], lost: tuple[str, ...]) -> None:
    before = Settings()
    now = Settings.from_dict(merge(before.to_dict(), change))
    assert set(reusable_stages(before, now)) == set(STORED) - set(lost)


def test_another_foundation_costs_the_teacher_and_what_follows() -> None:
    assert set(reusable_stages(Settings(), Settings(), other_foundation=True)) == set(STORED) - set(CHAIN[4:])


def test_another_folder_or_other_sites_are_refused(tmp_path: Path, sites: Path, federation: Run) -> None:
    assert federation.code == 0, federation.output[-3000:]
    here = SimulatedSites(sites, tmp_path / "out", tmp_path)
    with pytest.raises(ConfigError, match="no complete run of dsfedmed"):
        reuse_stages(tmp_path, tmp_path / "out", Settings(), here)
    other = SimulatedSites(tmp_path, tmp_path / "out", tmp_path)
    with pytest.raises(ConfigError, match="another 'data'"):
        reuse_stages(federation.folder, tmp_path / "out", Settings(), other)
    lighter = SimulatedSites(sites, tmp_path / "out", tmp_path, light_weights=tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match="another 'light_weights'"):
        reuse_stages(federation.folder, tmp_path / "out", Settings(), lighter)
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").write_text("a file where the new run's folder has to be")
    with pytest.raises(StoreError, match="cannot be taken over"):
        reuse_stages(federation.folder, tmp_path / "full", Settings.from_dict(_settings(federation)), here)
    assert reuse_stages(tmp_path, federation.folder, Settings(), here) == (), (
        "a run that has begun goes on with its own"
    )


@pytest.mark.federation
def test_the_result_is_that_of_a_run_of_its_own(federation: Run, sites: Path, tmp_path: Path) -> None:
    assert federation.code == 0, federation.output[-3000:]
    changes = ["--set", "distillation.rate=1.0", "--set", "compare.fedprox=true"]
    alone = run_job(sites, tmp_path / "alone", *changes)
    assert alone.code == 0, alone.output[-3000:]
    quick = run_job(sites, tmp_path / "quick", *changes, "--reuse", str(federation.folder))
    assert quick.code == 0, quick.output[-3000:]
    first = read_json(alone.folder / "record.json")
    second = read_json(quick.folder / "record.json")
    wanted = [*CHAIN, "compare fedavg", "compare fedprox", "compare local", "compare centralised"]
    assert second["reused"] == {"run": federation.folder.name, "stages": wanted}
    for part in ("curves", "selected", "budgets", "audit", "synthetic", "masks", "learnability"):
        methods = isinstance(first[part], dict)
        assert ({k: second[part][k] for k in first[part]} if methods else second[part]) == first[part], part
    for stage in ("training-dsfedmed", "training-fedavg", "training-fedprox", "distillation"):
        expected, found = stage_tensors(alone.folder, stage), stage_tensors(quick.folder, stage)
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items()), stage
    assert second["cases"]["dsfedmed"] == first["cases"]["dsfedmed"]
    assert second["cases"]["fedavg_equal_steps"] == first["cases"]["fedavg_equal_steps"]
    spent, saved = _bytes(first), _bytes(second)
    assert spent.keys() == saved.keys()
    assert all(abs(saved[key] - size) < 0.01 * size + 500 for key, size in spent.items())


def _settings(run: Run) -> dict[str, Any]:
    return dict(read_json(run.folder / "record.json")["config"])


def _bytes(record: dict[str, Any]) -> dict[tuple[str, ...], int]:
    """Bytes by source site, direction and stage; a held-out site without a task only shows that it is there."""
    rows = [row for row in record["bytes"]["entries"] if row["stage"] != "start" and row["site"] != "site_d"]
    return {(row["site"], row["direction"], row["stage"]): row["bytes"] for row in rows}
