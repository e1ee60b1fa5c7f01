# SPDX-License-Identifier: Apache-2.0
"""Hospitals and servers that are really killed or frozen: the run goes on, and its own record says what happened."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from dsfedmed.flare.deployment.parties import kill_party, party_processes, start_party
from dsfedmed.settings import Settings
from tests.flare.deployment.conftest import Hospitals, smoke, wait_until
from tests.runs.stored import stage_tensors

pytestmark = pytest.mark.deployment

PATIENT_S = 240
WAITS = {"straggler_grace_s": 4, "returning_grace_s": 2}


def _alone(seed: int) -> Settings:
    """A run that one hospital can carry on, slow enough to be disturbed."""
    return smoke(seed=seed, min_sites=1, rounds=8, timeouts=WAITS, light={"epochs_per_round": 8})


def _events(hospitals: Hospitals, settings: Settings, site: str) -> list[str]:
    return [event["kind"] for event in hospitals.record(settings)["events"] if event["site"] == site]


@contextmanager
def _frozen(hospitals: Hospitals, name: str) -> Iterator[None]:
    """Stop every process of a party, as a suspended machine or a dead network does."""
    processes = party_processes(hospitals.poc.kit(name))
    assert len(processes) >= 3
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def test_a_frozen_hospital_holds_nobody_up_and_is_taken_back(hospitals: Hospitals) -> None:
    settings = _alone(seed=1)
    job = hospitals.submit(settings)
    wait_until(lambda: hospitals.rounds(settings) >= 1, PATIENT_S, "the first round")
    with _frozen(hospitals, "site_b"):
        wait_until(lambda: "missing" in _events(hospitals, settings, "site_b"), 60, "site_b missing in the record")
        before = hospitals.rounds(settings)
        wait_until(lambda: hospitals.rounds(settings) > before, 60, "a round without site_b")
    status = hospitals.poc.user().wait(job, PATIENT_S)
    record = hospitals.record(settings)
    assert (status, record["verdict"]) == ("FINISHED:COMPLETED", "complete")
    assert "returned" in _events(hospitals, settings, "site_b")
    assert _events(hospitals, settings, "site_a") == []


def test_a_killed_worker_is_one_failed_task(hospitals: Hospitals) -> None:
    """What the kernel does to a hospital that runs out of memory."""
    settings = _alone(seed=2)
    job = hospitals.submit(settings)
    wait_until(lambda: hospitals.rounds(settings) >= 1, PATIENT_S, "the first round")
    assert kill_party(hospitals.poc.kit("site_b"), "worker") == 1
    status = hospitals.poc.user().wait(job, PATIENT_S)
    record = hospitals.record(settings)
    assert (status, record["verdict"]) == ("FINISHED:COMPLETED", "complete")
    told = [event["message"] for event in record["events"] if event["kind"] == "refused"]
    assert len(told) <= 1, "killed between two tasks it is replaced without a word"
    assert all("signal 9 (9 is often out of memory)" in message for message in told)


def test_a_hospital_that_loses_power_is_left_out_and_comes_back_to_the_federation(hospitals: Hospitals) -> None:
    settings = _alone(seed=3)
    job = hospitals.submit(settings)
    wait_until(lambda: hospitals.rounds(settings) >= 1, PATIENT_S, "the first round")
    assert kill_party(hospitals.poc.kit("site_b")) >= 3
    start_party(hospitals.poc.kit("site_b"), hospitals.poc.command)
    hospitals.poc.user().wait(job, PATIENT_S)
    record = hospitals.record(settings)
    assert record["verdict"] == "complete", record["verdict"]
    assert "missing" in _events(hospitals, settings, "site_b")
    losses = {entry["round"]: set(entry["loss"]) for entry in record["curves"]["dsfedmed"]}
    assert losses[1] == {"site_a", "site_b"}
    assert losses[8] == {"site_a"}
    hospitals.poc.user().wait_for(["site_a", "site_b"], 120)


def test_killed_in_three_ways_and_submitted_again_the_weights_are_those_of_an_undisturbed_run(
    hospitals: Hospitals,
) -> None:
    """The whole server in a stage, a hospital's job in a round, the server's job in another round."""
    settings = smoke(seed=4, rounds=6, light={"epochs_per_round": 4}, generator={"branch_steps": 60})
    job = hospitals.submit(settings)
    assert hospitals.poc.user().wait(job, PATIENT_S) == "FINISHED:COMPLETED"
    undisturbed = hospitals.forget(settings)

    hospitals.submit(settings)
    wait_until(lambda: hospitals.stage(settings) == "fit branches", PATIENT_S, "the branches")
    server = hospitals.poc.kit("server")
    assert kill_party(server) >= 3
    assert hospitals.record(settings)["verdict"].startswith("incomplete")
    start_party(server, hospitals.poc.command)
    hospitals.poc.user().wait_for(["site_a", "site_b"], 180)

    job = hospitals.submit(settings)
    wait_until(lambda: hospitals.rounds(settings) >= 1, PATIENT_S, "the first round")
    assert kill_party(hospitals.poc.kit("site_b"), "job") == 1
    assert hospitals.poc.user().wait(job, PATIENT_S) != "FINISHED:COMPLETED"
    assert hospitals.record(settings)["verdict"].startswith("incomplete")

    job = hospitals.submit(settings)
    wait_until(lambda: hospitals.rounds(settings) >= 3, PATIENT_S, "the third round")
    assert kill_party(server, "job") == 1
    assert hospitals.poc.user().wait(job, PATIENT_S) != "FINISHED:COMPLETED"

    job = hospitals.submit(settings)
    assert hospitals.poc.user().wait(job, PATIENT_S) == "FINISHED:COMPLETED"
    record = hospitals.record(settings)
    assert record["verdict"] == "complete"
    assert [stage["name"] for stage in record["stages"] if stage["resumed"]]
    for stage in ("fit base", "branch-site_a", "branch-site_b", "adapt teacher", "distillation", "training-dsfedmed"):
        expected, found = stage_tensors(undisturbed, stage), stage_tensors(hospitals.folder(settings), stage)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items()), stage
