# SPDX-License-Identifier: Apache-2.0
"""A run that takes over another one's stages ends as if it had made them itself, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError, StoreError
from dsfedmed.federated.local.leaving import note_leaving
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.party.site_data import SITE_DATA, data_fingerprint
from dsfedmed.federated.server import reuse
from dsfedmed.federated.server.reuse import reuse_stages
from dsfedmed.federated.server.stage_dependencies import CHAIN
from dsfedmed.settings import Settings
from dsfedmed.site_names import plain_name
from dsfedmed.store.files import read_json
from dsfedmed.store.run_version import has_begun
from dsfedmed.store.stage_store import StageStore
from tests.runs.commands import BUNDLES
from tests.runs.local import run_in_process
from tests.runs.recording import Recording
from tests.runs.smoke import WHOLE, smoke
from tests.runs.stored import assert_same_stages

BASELINES = ("compare fedavg", "compare fedprox", "compare local", "compare centralised")


def test_another_folder_or_other_sites_are_refused(tmp_path: Path, sites: Path, dsfedmed_in_process: Recording) -> None:
    run = dsfedmed_in_process.run
    here = SimulatedSites(sites, tmp_path / "out", tmp_path)
    with pytest.raises(ConfigError, match="no complete run of dsfedmed"):
        reuse_stages(tmp_path, tmp_path / "out", Settings(), here)
    other = SimulatedSites(tmp_path, tmp_path / "out", tmp_path)
    with pytest.raises(ConfigError, match="another 'data'"):
        reuse_stages(run, tmp_path / "out", Settings(), other)
    lighter = SimulatedSites(sites, tmp_path / "out", tmp_path, light_weights=tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match="another 'light_weights'"):
        reuse_stages(run, tmp_path / "out", Settings(), lighter)
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").write_text("a file where the new run's folder has to be")
    config = read_json(run / "record.json")["config"]
    with pytest.raises(StoreError, match="cannot be taken over"):
        reuse_stages(run, tmp_path / "full", Settings.from_dict(config), here)
    assert reuse_stages(tmp_path, run, Settings(), here) == (), "a run that has begun goes on with its own"


def test_a_copy_that_was_killed_is_made_anew(
    tmp_path: Path, sites: Path, dsfedmed_in_process: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = dsfedmed_in_process.run, tmp_path / "out"
    settings, layout = Settings.from_dict(read_json(run / "record.json")["config"]), SimulatedSites(sites, out, BUNDLES)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(reuse, "_copy_set", killed)
        with pytest.raises(KeyboardInterrupt):
            reuse_stages(run, out, settings, layout)
    assert not has_begun(out)
    assert "audit" in reuse_stages(run, out, settings, layout)
    assert has_begun(out)
    assert sorted(path.name for path in out.iterdir()) == ["record.json", "sites", "store", "synthetic"]


def test_a_site_may_leave_a_run_that_takes_over(tmp_path: Path, sites: Path, dsfedmed_in_process: Recording) -> None:
    run, out = dsfedmed_in_process.run, tmp_path / "out"
    settings, layout = Settings.from_dict(read_json(run / "record.json")["config"]), SimulatedSites(sites, out, BUNDLES)
    kept = reuse_stages(run, out, settings, layout, {"site_b": 1})
    assert "audit" in kept
    assert "compare fedavg" not in kept, "its rounds had another site set"
    note_leaving(out, {"site_b": 1})
    assert read_json(out / "record.json")["leaving"] == {"site_b": 1}
    with pytest.raises(ConfigError, match="begun with site_b=1 leaving"):
        note_leaving(out, {})


def test_a_run_over_nvflare_is_found_as_well(tmp_path: Path, sites: Path, dsfedmed_in_process: Recording) -> None:
    """Its configuration lies elsewhere, and is compared in the same way."""
    run = tmp_path / "run"
    (run / "nvflare" / "dsfedmed").mkdir(parents=True)
    for path in dsfedmed_in_process.run.iterdir():
        target = run / "nvflare" / "dsfedmed" / "local" if path.name == "local" else run / path.name
        target.symlink_to(path)
    settings = Settings.from_dict(read_json(run / "record.json")["config"])
    assert "fit base" in reuse_stages(run, tmp_path / "out", settings, SimulatedSites(sites, tmp_path, BUNDLES))
    with pytest.raises(ConfigError, match="another 'data'"):
        reuse_stages(run, tmp_path / "other", settings, SimulatedSites(tmp_path, tmp_path, BUNDLES))


def test_the_result_is_that_of_a_run_of_its_own(dsfedmed_in_process: Recording, sites: Path, tmp_path: Path) -> None:
    ours = {part: WHOLE["dsfedmed"][part] for part in ("refit", "schedule")}
    settings = smoke(distillation={"rate": 1.0}, compare={"fedprox": True}, **ours)
    alone = run_in_process("dsfedmed", settings, sites, tmp_path / "alone").run
    quick = tmp_path / "quick" / "run"
    reuse_stages(dsfedmed_in_process.run, quick, settings, SimulatedSites(sites, quick, BUNDLES))
    run_in_process("dsfedmed", settings, sites, tmp_path / "quick")
    first, second = read_json(alone / "record.json"), read_json(quick / "record.json")
    wanted = [*CHAIN, *BASELINES]
    assert second["reused"] == {"run": dsfedmed_in_process.run.name, "stages": wanted}
    for part in ("curves", "selected", "budgets", "audit", "synthetic", "masks", "learnability"):
        methods = isinstance(first[part], dict)
        assert ({k: second[part][k] for k in first[part]} if methods else second[part]) == first[part], part
    assert_same_stages(alone, quick, [f"training-{name}" for name in ("dsfedmed", "fedavg", "fedprox")])
    assert_same_stages(alone, quick, ["distillation"])
    assert second["cases"] == first["cases"]
    assert {"dsfedmed", "fedavg_equal_steps", "fedprox"} <= set(first["cases"])
    spent, saved = _bytes(first), _bytes(second)
    assert spent.keys() == saved.keys()
    assert all(abs(saved[key] - size) < 0.01 * size + 500 for key, size in spent.items())


def _bytes(record: dict[str, Any]) -> dict[tuple[str, ...], int]:
    """Bytes by source site, direction and stage; a held-out site without a task only shows that it is there."""
    rows = [row for row in record["bytes"]["entries"] if row["stage"] != "start" and row["site"] != "site_d"]
    return {(row["site"], row["direction"], row["stage"]): row["bytes"] for row in rows}


def test_a_run_on_other_data_is_not_reused(tmp_path: Path) -> None:
    make_demo_sites(tmp_path / "sites", seed=1, sites=("site_a",), training=2, validation=1, test=1)
    (tmp_path / "sites" / "site_a").rename(tmp_path / "sites" / "Süd")
    layout = SimulatedSites(tmp_path / "sites", tmp_path / "new", tmp_path)
    store = StageStore(tmp_path / "run" / "store", {})
    with pytest.raises(ConfigError, match="run: does not say of which data it was made"):
        reuse._require_same_data(tmp_path / "run", layout)
    datalist = load_datalist(tmp_path / "sites" / "Süd")
    digest = data_fingerprint(datalist, tmp_path / "none").sha256
    store.put(SITE_DATA, {plain_name("Süd"): digest})
    reuse._require_same_data(tmp_path / "run", layout)
    with datalist.parts["test"][0].image.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(ConfigError, match="run: is a run on other data of Süd"):
        reuse._require_same_data(tmp_path / "run", layout)
