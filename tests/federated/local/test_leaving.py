# SPDX-License-Identifier: Apache-2.0
"""A site that leaves: which rounds it refuses, and what a command line may say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.federated.local.leaving import LeavingSite, note_leaving, read_leaving
from dsfedmed.federated.local.site import LocalSite
from dsfedmed.federated.wire.message import Envelope, open_reply, reply_message, request_message
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.tasks import TRAIN
from dsfedmed.site_names import plain_name
from dsfedmed.store.files import read_json, write_json
from tests.federated.tiny import tiny_plan, tiny_settings


class Willing:
    """A worker that answers every round."""

    def run(self, task: str, request: Any, aborted: object, on_progress: object = None) -> Any:
        return reply_message(Envelope(TrainReply(request.info["body"]["round"]["round"], 0.5)))

    def stop(self) -> None:
        """Nothing to end."""


def test_it_takes_part_in_its_rounds_and_in_no_later_one(tmp_path: Path) -> None:
    plan = tiny_plan(tiny_settings())
    site = LeavingSite(LocalSite("site_a", tmp_path, Willing()), 2)  # type: ignore[arg-type]
    for number in (1, 2):
        body = TrainRequest(plan.common, plan.round_facts("fedavg", number, epochs=0), "light", plan.teacher_spec)
        reply, _ = site.answer(TRAIN.name, request_message(Envelope(body)), lambda *_: None)
        assert open_reply(TRAIN, reply, "site_a").body.round == number
    body = TrainRequest(plan.common, plan.round_facts("fedavg", 3, epochs=0), "light", plan.teacher_spec)
    reply, _ = site.answer(TRAIN.name, request_message(Envelope(body)), lambda *_: None)
    with pytest.raises(DSFedMedError, match="left after round 2"):
        open_reply(TRAIN, reply, "site_a")


def test_the_command_line_names_sites_and_rounds() -> None:
    folders = {"a": "a", "b": "b", plain_name("Klinik = Süd"): "Klinik = Süd"}
    assert read_leaving(["a=3", "b=0"], folders) == {"a": 3, "b": 0}
    assert read_leaving(["Klinik = Süd=1"], folders) == {plain_name("Klinik = Süd"): 1}
    assert read_leaving([], folders) == {}


@pytest.mark.parametrize("text", ["a", "a=", "a=-1", "a=x", "=3"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--leave: .*SITE=ROUND"):
        read_leaving([text], {"a": "a", "b": "b"})


def test_a_site_that_is_not_there_cannot_leave() -> None:
    with pytest.raises(ConfigError, match=r"--leave: d is none of the sites\. Sites: a, Süd"):
        read_leaving(["d=3"], {"a": "a", plain_name("Süd"): "Süd"})


def test_a_run_that_has_begun_keeps_its_leaving_sites(tmp_path: Path) -> None:
    note_leaving(tmp_path, {"a": 2})
    assert read_json(tmp_path / "record.json")["leaving"] == {"a": 2}
    write_json(tmp_path / "store" / "config.json", {})
    note_leaving(tmp_path, {"a": 2})
    for other in ({}, {"a": 3}):
        with pytest.raises(ConfigError, match="was begun with a=2 leaving"):
            note_leaving(tmp_path, other)
