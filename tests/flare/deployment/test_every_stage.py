# SPDX-License-Identifier: Apache-2.0
"""Killed in every stage, one after the other: the server's job, and a hospital's worker."""

from __future__ import annotations

import time

import pytest
import torch

from dsfedmed.federated.methods.dsfedmed import DSFedMed
from dsfedmed.flare.deployment.parties import kill_party
from dsfedmed.settings import Settings
from tests.flare.deployment.conftest import Hospitals, smoke, wait_until
from tests.runs.stored import stage_tensors

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(1500)]

PATIENT_S = 240
KILLED_IN = ("fit base", "fit branches", "synthesise", "audit", "adapt teacher", "rounds", "evaluate")


def wait_for_stage(hospitals: Hospitals, settings: Settings, stage: str) -> None:
    """Wait until the run has come to a stage, or beyond it where the stage is over between two looks."""
    order = DSFedMed.stages(settings)
    reached = order.index(stage)
    wait_until(
        lambda: order.index(hospitals.stage(settings) or order[0]) >= reached and bool(hospitals.stage(settings)),
        PATIENT_S,
        stage,
    )


def test_a_server_killed_in_every_stage_ends_with_the_weights_of_an_undisturbed_run(hospitals: Hospitals) -> None:
    settings = smoke(seed=5, light={"epochs_per_round": 4}, generator={"branch_steps": 40, "base_steps": 40})
    lead, server = hospitals.poc.user(), hospitals.poc.kit("server")
    assert lead.wait(hospitals.submit(settings), PATIENT_S) == "FINISHED:COMPLETED"
    undisturbed = hospitals.forget(settings)
    for stage in KILLED_IN:
        job = hospitals.submit(settings)
        wait_for_stage(hospitals, settings, stage)
        assert kill_party(server, "job") == 1, stage
        assert lead.wait(job, PATIENT_S) != "FINISHED:COMPLETED"
        assert hospitals.record(settings)["verdict"].startswith("incomplete"), stage
    assert lead.wait(hospitals.submit(settings), PATIENT_S) == "FINISHED:COMPLETED"
    record = hospitals.record(settings)
    assert record["verdict"] == "complete"
    assert {"fit base", "fit branches", "synthesise", "audit"} <= {s["name"] for s in record["stages"] if s["resumed"]}
    for stage in ("fit base", "branch-site_a", "branch-site_b", "adapt teacher", "distillation", "training-dsfedmed"):
        expected, found = stage_tensors(undisturbed, stage), stage_tensors(hospitals.folder(settings), stage)
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items()), stage


def test_a_worker_killed_in_every_stage_leaves_a_complete_run_that_says_where(hospitals: Hospitals) -> None:
    """What happens at a hospital that runs out of memory again and again; it is back whenever it can be."""
    settings = smoke(
        seed=6, min_sites=1, rounds=6, timeouts={"straggler_grace_s": 30, "returning_grace_s": 30},
        light={"epochs_per_round": 8}, generator={"branch_steps": 300, "base_steps": 300},
    )  # fmt: skip
    job = hospitals.submit(settings)
    for stage in ("fit base", "fit branches", "audit", "rounds"):
        wait_for_stage(hospitals, settings, stage)
        if stage in ("fit base", "fit branches"):
            time.sleep(2)  # these tasks take several seconds: now it is at work, and not between two of them
        wait_until(lambda: kill_party(hospitals.poc.kit("site_b"), "worker") == 1, 60, f"a worker in {stage}")
    assert hospitals.poc.user().wait(job, PATIENT_S) == "FINISHED:COMPLETED"
    record = hospitals.record(settings)
    assert record["verdict"] == "complete"
    told = [event for event in record["events"] if event["kind"] == "refused"]
    assert {event["site"] for event in told} == {"site_b"}
    assert {"fit base", "fit branches"} <= {event["stage"] for event in told}
    assert all("signal 9" in event["message"] for event in told)
    assert set(record["masks"]) == {"site_a"}, "whose branch is missing is left out of the set"
    assert set(record["curves"]["dsfedmed"][-2]["loss"]) == {"site_a", "site_b"}, "and takes part in what follows"
