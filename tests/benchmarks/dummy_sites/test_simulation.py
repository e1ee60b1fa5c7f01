# SPDX-License-Identifier: Apache-2.0
"""A dummy federation that fails says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from nvflare.recipe.sim_env import SimEnv

from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.server.run_record import FILE_NAME
from dsfedmed.store.files import write_json
from dsfedmed_benchmarks.dummy_sites.federation import simulate_random_updates


@pytest.mark.parametrize(
    ("verdict", "nvflare_fails", "said"),
    [
        (None, True, "it did not start"),
        ("incomplete: too few sites", True, "incomplete: too few sites"),
        ("incomplete: too few sites", False, "incomplete: too few sites"),
        ("complete", True, "complete"),
    ],
)
def test_a_failed_run_is_an_error_with_its_verdict(
    verdict: str | None, nvflare_fails: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deploy(environment: SimEnv, job: object) -> None:
        if verdict is not None:
            write_json(tmp_path / FILE_NAME, {"verdict": verdict})
        if nvflare_fails:
            raise RuntimeError("Simulation failed with return code 2")

    monkeypatch.setattr(SimEnv, "deploy", deploy)
    with pytest.raises(DSFedMedError, match=said):
        simulate_random_updates("small", 2, 1, tmp_path)


def test_a_complete_run_gives_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"verdict": "complete", "memory": {}}
    monkeypatch.setattr(SimEnv, "deploy", lambda *_: write_json(tmp_path / FILE_NAME, record))
    assert simulate_random_updates("small", 2, 1, tmp_path) == record
