# SPDX-License-Identifier: Apache-2.0
"""Both ways do the same work to the last bit, and the table compares the two honestly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.store.files import read_json
from dsfedmed.store.stage_store import StageStore
from dsfedmed_benchmarks.performance.overhead import (
    OverheadOptions,
    Timing,
    final_weights,
    require_equal_weights,
    rows_of,
    run,
    settings_of,
)

ROOT = Path(__file__).resolve().parents[3]
PRESET = str(ROOT / "jobs" / "dsfedmed" / "presets" / "smoke.yaml")
ALONE = tuple(f"compare.{name}=false" for name in ("fedavg", "equal_steps", "local", "teacher"))


def test_rows_end_with_all_stages_and_the_whole_command():
    rows = rows_of(Timing({"a": 2.0, "b": 3.0}, 10.0, 6.0), Timing({"a": 1.0, "b": 4.0}, 8.0, 4.0))
    assert rows == [
        ["a", 2.0, 1.0, 2.0],
        ["b", 3.0, 4.0, 0.75],
        ["all stages", 5.0, 5.0, 1.0],
        ["whole command", 10.0, 8.0, 1.25],
        ["CPU time of all processes", 6.0, 4.0, 1.5],
    ]


def test_other_weights_are_an_error(tmp_path):
    for name, value in (("one", 1.0), ("same", 1.0), ("other", 1.0 + 2**-23)):
        StageStore(tmp_path / name / "store", {}).put("training-dsfedmed", {}, {"weights/w": torch.tensor([value])})
    require_equal_weights(tmp_path / "one", tmp_path / "same")
    with pytest.raises(DSFedMedError, match="1 of 1 tensors differ"):
        require_equal_weights(tmp_path / "one", tmp_path / "other")


def test_overrides_lie_over_the_preset():
    options = OverheadOptions(Path("sites"), "site_d", PRESET, ("rounds=2", "light.precision=int8"))
    settings = settings_of(options)
    assert (settings.rounds, settings.light.precision, settings.unseen) == (2, "int8", ("site_d",))


def test_a_folder_with_other_things_in_it_is_not_emptied(tmp_path):
    sites, work = tmp_path / "sites", tmp_path / "work"
    for folder in (sites / "site_a", work):
        folder.mkdir(parents=True)
    (sites / "site_a" / "datalist.json").write_text("{}")
    (work / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"thesis\.txt"):
        run(OverheadOptions(sites, "site_d", PRESET, work=work))
    assert (work / "thesis.txt").exists()


@pytest.mark.slow  # the two ways are compared by tests/flare/test_parity.py in every run
@pytest.mark.federation
def test_through_nvflare_and_locally_the_same_bits_come_out_and_every_stage_has_its_times(tmp_path):
    """Generators, audit, teacher, distillation, soft labels and rounds come before the weights that are compared."""
    make_demo_sites(tmp_path / "sites", seed=0, training=12, validation=12, test=6)
    options = OverheadOptions(
        tmp_path / "sites", "site_d", PRESET, ALONE, bundles=ROOT / "bundles", work=tmp_path / "work"
    )
    table = run(options)
    assert table.columns == ("stage", "NVFlare (s)", "local transport (s)", "ratio")
    stages = [entry["name"] for entry in read_json(tmp_path / "work" / "local" / "record.json")["stages"]]
    assert [row[0] for row in table.rows[:-3]] == stages
    assert {"fit branches", "audit", "rounds", "evaluate", "release"} <= set(stages)
    assert all(row[1] > 0 and row[2] > 0 for row in table.rows[-3:])
    assert any(name.startswith("best/") for name in final_weights(tmp_path / "work" / "nvflare"))
