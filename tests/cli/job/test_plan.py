# SPDX-License-Identifier: Apache-2.0
"""`dsfedmed plan` in this process: with the smallest settings, and what it refuses as `dsfedmed run` does."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from dsfedmed.cli.main import main
from dsfedmed.planning.work import UNITS
from tests.runs.tiny import TINY


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return path


def test_a_plan_with_a_calibration(sites: Path, preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = preset.parent / "plan.json"
    words = ["--sites", str(sites), "--unseen", "site_d", "--preset", str(preset), "--json", str(out)]
    assert main(["plan", *words]) == 0
    text = capsys.readouterr().out
    assert f"{out}: the same as JSON" in text
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [site["takes_part"] for site in found["sites"]] == [True, True, True, False]
    assert found["settings"]["image_size"] == 32  # the preset is planned as it is
    assert not found["reckoned_with_proposals"]
    assert found["how_far_apart"]["likeness"] == "opposite"
    assert found["calibration"]["seconds"].keys() == UNITS.keys()
    assert all(math.isfinite(seconds) and seconds > 0 for seconds in found["calibration"]["seconds"].values())
    stages = {entry["stage"]: entry for entry in found["seconds"]["stages"]}
    assert stages["rounds"]["sites"].keys() == {"site_a", "site_b", "site_c"}
    assert stages["fit branches"]["here"] > 0
    assert stages["compare fedavg"]["comparison"]
    assert found["seconds"]["method"] == pytest.approx(
        sum(entry["here"] for entry in stages.values() if not entry["comparison"])
    )
    assert {ask["site"]: ask["up"] > 0 for ask in found["asked_of_each_site"]}["site_d"] is False


def test_proposals_are_laid_over_and_what_is_given_is_kept(sites: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    words = ["--sites", str(sites), "--method", "fedbn", "--set", "rounds=7", "--no-calibration", "--json", str(out)]
    assert main(["plan", *words]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["settings"]["rounds"], found["settings"]["light"]["batch_size"]) == (7, 8)  # small sites
    assert "rounds" not in [choice["key"] for choice in found["proposed"]]
    assert found["options"] == ["--sites", str(sites), "--preset", "cpu", "--set", "light.batch_size=8", "--set",
                                "rounds=7"]  # fmt: skip
    assert (found["seconds"], found["parameters"]["base"]) == (None, 0)


def test_damaged_sites_are_listed_and_refused(sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "sites"
    shutil.copytree(sites, broken)
    for name in ("site_a", "site_b"):
        next((broken / name / "images").iterdir()).write_bytes(b"no image")
    assert main(["plan", "--sites", str(broken), "--no-calibration"]) == 2
    said = capsys.readouterr()
    assert "site_a, site_b: 2 errors, listed above" in said.err
    assert said.out == ""


def test_a_site_that_is_not_there_and_a_setting_that_cannot_be(sites: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--sites", str(sites), "--unseen", "nowhere"]) == 2
    assert "nowhere is none of the sites" in capsys.readouterr().err
    assert main(["plan", "--sites", str(sites), "--set", "rounds=-1"]) == 2
    assert "rounds" in capsys.readouterr().err


def test_the_paper_s_scale_is_refused_with_where_it_is_written_of(
    sites: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--sites", str(sites), "--preset", "paper", "--no-calibration"]) == 2
    assert "a plan is made for the embedded base" in capsys.readouterr().err


def test_sam_fed_needs_public_labels_and_one_network(sites: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--sites", str(sites), "--preset", "smoke", "--method", "samfed"]
    assert main(words) == 2
    assert "the method needs public labels. Give --public FOLDER, or --label-site SITE" in capsys.readouterr().err
    own = ["--set", 'method.site_bundles={"site_b": "light_unet_segmentation"}']
    assert main([*words, "--label-site", "site_a", *own]) == 2
    assert "sites with networks of their own are not planned" in capsys.readouterr().err


def test_sam_at_full_size_is_not_timed_on_cpu_cores(
    sites: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["plan", "--sites", str(sites), "--preset", "paper", "--method", "pfedsam"]) == 2
    assert "too long to be timed. Give --no-calibration" in capsys.readouterr().err


def test_a_label_site_trains_nothing_and_every_kind_of_work_is_timed(sites: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    words = ["--sites", str(sites), "--unseen", "site_d", "--preset", "smoke", "--json", str(out)]
    assert main(["plan", *words, "--method", "samfed", "--label-site", "site_a"]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert {ask["site"]: ask["up"] > 0 for ask in found["asked_of_each_site"]} == {
        "site_a": False, "site_b": True, "site_c": True, "site_d": False,
    }  # fmt: skip
    assert "--label-site" in found["options"]
    stages = {entry["stage"]: entry for entry in found["seconds"]["stages"]}
    assert stages["public start"]["server"] > 0
    assert stages["rounds"]["sites"].keys() == {"site_b", "site_c"}
    assert set(found["calibration"]["seconds"]) == {"read", "infer", "score", "light_step", "teacher_step", "embed"}
