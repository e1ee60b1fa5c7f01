# SPDX-License-Identifier: Apache-2.0
"""Bytes by hand, and those that a committed record of five rounds of nuclei has."""

from __future__ import annotations

import pytest

from dsfedmed.planning.scene import Scene, SiteSize
from dsfedmed.planning.sizes import Numbers
from dsfedmed.planning.traffic import Traffic, beside, federated, is_comparison, set_bytes, traffic
from dsfedmed.settings import Settings
from tests.planning.samples import FEDBN, NUMBERS, STAGES, scene


def test_every_stage_by_hand_in_half_precision() -> None:
    found = {entry.stage: (entry.down, entry.up) for entry in traffic(scene(), NUMBERS)}
    pixels = 64 * 64
    assert found == {
        "fit base": (2 * 2 * 2000, 2 * 2 * 2000),  # two rounds
        "fit branches": (2 * 2000, 2 * 300 + 10 * pixels // 8),
        "audit": (30 * pixels * 4 // 2, 30 * 4),
        "score parts": (4 * 2000, 0),
        "rounds": ((1 + 4 + 3) * 2000, 4 * 2000),  # the start, four rounds, and three networks of one trial
        "compare fedavg": ((1 + 4 + 3) * 2000, 4 * 2000),
        "compare equal steps": ((1 + 2 + 3) * 2000, 2 * 2000),
        "compare local": (2000, 2000),
        "evaluate": (2000, 0),
        "evaluate comparison": (2 * (3 * 1000 + 2 * 5000), 0),
    }


def test_int8_sends_whole_weights_in_half_precision_and_differences_in_a_byte() -> None:
    assert federated(scene(light={"precision": "int8"}), 1000, 4) == (2000 + 4000 + 3 * 2000, 4000)
    assert federated(scene(light={"precision": "fp32"}), 1000, 1) == (8000, 4000)


def test_soft_labels_and_the_mean_of_rounds_come_down_too() -> None:
    (plain,) = (entry for entry in traffic(scene(), NUMBERS) if entry.stage == "rounds")
    changed = scene(schedule={"distil_at": "sites", "average_rounds": 2})
    (more,) = (entry for entry in traffic(changed, NUMBERS) if entry.stage == "rounds")
    assert more.down - plain.down == 2000 + 2 * 15 * 32 * 32  # once more, and levels of 15 pairs twice
    assert more.up == plain.up


def test_fedavg_and_fedsam_stand_beside_it_in_the_same_format() -> None:
    assert beside(scene(), NUMBERS) == {"FedAvg": 12 * 2000, "FedSAM": 12 * 10_000}


def test_a_method_without_a_set_moves_its_network_alone() -> None:
    found = {entry.stage: (entry.down, entry.up) for entry in traffic(scene(FEDBN), NUMBERS)}
    assert found["rounds"] == (16_000, 8_000)
    assert found["evaluate"] == (4_000, 0)
    assert not {"fit base", "audit"} & set(found)


def test_what_is_counted_apart() -> None:
    assert [is_comparison(stage) for stage in ("rounds", "evaluate", "compare local", "evaluate comparison")] == [
        False, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "down", "up"),
    [("fit base", 37_690_348, 37_684_106), ("fit branches", 6_282_092, 3_000_244), ("evaluate", 806_657, 8_366)],
)
def test_the_ledger_of_a_real_run_has_as_many(stage: str, down: int, up: int) -> None:
    """Nuclei, five rounds (docs/results/records.tar.gz, nuclei/refit-fluo360-r5-p4-0): but for headers and scores."""
    settings = Settings.from_dict(
        {"rounds": 5, "generator": {"base_rounds": 6}, "synthetic": {"per_site": 360}, "robust": {"trials": False}}
    )
    sites = tuple(SiteSize(name, 64, 16, 27) for name in "abc")
    nuclei = Scene(settings, sites, STAGES, channels=3, num_classes=1)
    numbers = Numbers(light=403_005, teacher=85_000, base=3_140_256, branch=1_407_808)
    (found,) = (entry for entry in traffic(nuclei, numbers) if entry.stage == stage)
    assert found.down == pytest.approx(down, rel=1e-3)
    assert found.up == pytest.approx(up, rel=1e-2, abs=10_000)
    assert set_bytes(nuclei) == pytest.approx(8_685_785, rel=0.03)
    assert isinstance(found, Traffic)


def test_pfedsam_moves_its_global_branch() -> None:
    found = {
        entry.stage: (entry.down, entry.up)
        for entry in traffic(scene(FEDBN, method="pfedsam"), Numbers(1000, 5000, low_rank=400))
    }
    assert found["rounds"] == ((1 + 4 + 3) * 800, 4 * 800)
    assert found["evaluate"] == (2 * 800, 0)


@pytest.mark.parametrize(("tune", "teacher"), [("lora", 400), ("full", 5000)])
def test_samfed_moves_the_teacher_once_and_its_network(tune: str, teacher: int) -> None:
    made = scene(("broadcast teacher", "rounds", "evaluate", "evaluate comparison"), method="samfed", public=(40, 10),
                 teacher={"tune": tune}, light={"precision": "int8"})  # fmt: skip
    found = {entry.stage: (entry.down, entry.up) for entry in traffic(made, Numbers(1000, 5000, low_rank=400))}
    assert found == {
        "broadcast teacher": (2 * teacher + 40 * 64 * 64 * 4 // 2, 0),
        "rounds": (2000 + 3 * 1000, 4 * 1000),  # the last mean stays, and so do the trials: the server validates
        "evaluate": (2000, 0),
        "evaluate comparison": (2 * (1000 + teacher), 0),
    }
