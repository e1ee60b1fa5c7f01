# SPDX-License-Identifier: Apache-2.0
"""DSFedMed whose generator is a Stable Diffusion (tiny, in the true format) with low-rank branches."""

from __future__ import annotations

from pathlib import Path

from dsfedmed.exchange.tensors import byte_count
from dsfedmed.federated.party.generator_base import CACHE
from dsfedmed.store.files import read_json
from tests.generator.sd_folders import make_tiny_folder
from tests.runs.local import run_in_process
from tests.runs.smoke import ALONE, smoke
from tests.runs.stored import stage_tensors

GENERATOR = {"base": "stable_diffusion", "lora_rank": 4, "zero_rank": 4, "dtype": "bfloat16"}


def test_federation_on_a_stable_diffusion_folder(sites: Path, tmp_path: Path) -> None:
    settings = smoke(rounds=1, schedule={"warmup_rounds": 0}, compare=ALONE, generator_model=GENERATOR)
    folder = make_tiny_folder(tmp_path / "sd")
    run = run_in_process("dsfedmed", settings, sites, tmp_path, generator=folder).run
    record = read_json(run / "record.json")
    assert "fit base" not in [stage["name"] for stage in record["stages"]]
    assert read_json(run / "store" / "fit branches.json")["info"]["sites"] == ["site_a", "site_b", "site_c"]
    branch = stage_tensors(run, "branch-site_b")
    assert any("lora_A" in name for name in branch)
    sent = [
        row
        for row in record["bytes"]["entries"]
        if row["stage"] == "fit branches" and row["direction"] == "up" and row["site"] == "site_b"
    ]
    # The base stays home: what goes up is the branch's own numbers, the masks and little else.
    assert byte_count(branch) < sent[0]["bytes"] < 1.5 * byte_count(branch) + 50_000
    assert (run / "sites" / "site_b" / CACHE).exists()
