# SPDX-License-Identifier: Apache-2.0
"""The GPU check at its tiny scale on the CPU: every stage is measured, and one that fails is named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.networks.promptless_sam.variants import check_size
from dsfedmed_benchmarks.cli import main
from dsfedmed_benchmarks.paper_scale import gpu_check, parts
from dsfedmed_benchmarks.paper_scale.stages import STAGES, CheckOptions, Round, Work

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"
TINY = CheckOptions(device="cpu", scale="tiny", bundles=BUNDLES, passes=1, images=2)
NAMES = [name for name, _ in STAGES]


def only(monkeypatch: pytest.MonkeyPatch, **stages: object) -> None:
    monkeypatch.setattr(gpu_check, "STAGES", tuple(stages.items()))


def test_every_stage_runs_and_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--device", "cpu", "--scale", "tiny", "--images", "2", "--passes", "1"]
    assert main(["gpu-check", *arguments, "--bundles", str(BUNDLES), "--out", str(tmp_path)]) == 0
    table = json.loads((tmp_path / "gpu-check.json").read_text())
    assert [row[0] for row in table["rows"]] == NAMES
    for name, _, first, again, rate, peak in table["rows"]:
        assert first > 0
        assert again is None
        assert peak > 0
        assert (rate is None) == (name == "pack update")
    assert {"date", "device", "torch"} <= table["environment"].keys()
    assert all(any(word in note for note in table["notes"]) for word in ("branch sends", "update of the light"))
    printed = capsys.readouterr().out
    assert all(name in printed for name in NAMES)


def test_two_passes_give_the_rate_of_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    only(monkeypatch, count=lambda _: Work("counts", 8, lambda: seen.append(1)))
    (row,) = gpu_check.run(dataclasses.replace(TINY, passes=2)).rows
    assert seen == [1, 1]
    assert isinstance(row[3], float)
    assert row[4] == pytest.approx(8 / row[3])


def broken(_: Round) -> Work:
    def run() -> None:
        raise ZeroDivisionError("the wheel came off\nsomewhere")

    return Work("breaks", 1, run)


def test_a_stage_that_fails_is_named_and_ends_with_another_status_than_zero(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch, first=lambda _: Work("works", 1, lambda: None), second=broken)
    arguments = ["--device", "cpu", "--scale", "tiny", "--bundles", str(BUNDLES), "--out", str(tmp_path / "out")]
    assert main(["gpu-check", *arguments]) != 0
    out, err = capsys.readouterr()
    assert "stage 'second': ZeroDivisionError: the wheel came off" in err
    assert "first" in out, "rows that were measured are shown"
    assert not (tmp_path / "out").exists()


def exhausted(_: Round) -> Work:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_full_card_says_what_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, big=exhausted)
    with pytest.raises(DSFedMedError, match=r"stage 'big': OutOfMemoryError.*Lower --batch-size"):
        gpu_check.run(TINY)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_gpu_is_said_at_once() -> None:
    with pytest.raises(ConfigError, match="no CUDA device"):
        gpu_check.run(CheckOptions(device="cuda", scale="tiny", bundles=BUNDLES))


@pytest.mark.parametrize("values", [{"images": 0}, {"batch_size": 0}, {"passes": 0}])
def test_numbers_below_one_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        CheckOptions(**values)  # type: ignore[arg-type]


def test_the_full_scale_is_the_papers_by_its_counts() -> None:
    scale = parts.SCALES["full"]
    config = parts.generator_config(scale, "bfloat16", 1)
    base = parts.generator_base(scale, config, torch.device("meta"), 0)
    branch = build_branch(base, config)
    assert sum(p.numel() for p in base.unet.parameters()) == 859_520_964
    assert sum(p.numel() for p in base.codec.network.parameters()) == 83_653_863  # type: ignore[attr-defined]
    assert 2 * sum(tensor.numel() for tensor in branch_state(branch).values()) < 25_000_000
    assert base.latent_shape(scale.image_size) == (4, 64, 64)
    check_size(scale.teacher, scale.teacher_size)
    light = parts.light_bundle(scale, BUNDLES)
    assert light.image_size == (1024, 1024)
