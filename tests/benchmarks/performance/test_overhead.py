# SPDX-License-Identifier: Apache-2.0
"""The bare loops do what the federation does, and the table compares the two honestly."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from dsfedmed.errors import ConfigError, DataError, DSFedMedError, PayloadError
from dsfedmed.federated.local.transport import answer, send_message, take_message
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.message import Message
from dsfedmed.store.stage_store import StageStore
from dsfedmed_benchmarks.performance.overhead import (
    OverheadOptions,
    Timing,
    require_equal_weights,
    rows_of,
    run,
    settings_of,
)
from tests.federated.conftest import ROOT

PRESET = str(ROOT / "jobs" / "dsfedmed" / "presets" / "smoke.yaml")


@pytest.fixture
def pipes() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_message_comes_through_a_pipe_whole(pipes):
    weights = {"w": torch.arange(6.0).reshape(2, 3).T, "n": torch.tensor([3], dtype=torch.int64)}
    send_message(pipes[0], Message({"round": 1}, weights, True))
    found = take_message(pipes[1])
    assert found.info == {"round": 1}
    assert found.is_difference
    assert torch.equal(found.tensors["w"], weights["w"])
    assert torch.equal(found.tensors["n"], weights["n"])


def test_a_closed_pipe_is_the_end_and_noise_is_refused(pipes):
    for head, tensors in ((b"noise", save({})), (b"{}", save({})), (b'{"info": {}, "is_difference": false}', b"noise")):
        pipes[0].send_bytes(head)
        pipes[0].send_bytes(tensors)
        with pytest.raises(PayloadError, match="no message"):
            take_message(pipes[1])
    pipes[0].close()
    with pytest.raises(EOFError):
        take_message(pipes[1])


def test_an_error_of_a_task_is_the_reply(tmp_path, monkeypatch):
    def fails(site: SiteContext, request: Message) -> Message:
        raise DataError("/home/someone/scan.png", "is damaged", "Fix it")

    monkeypatch.setitem(__import__("dsfedmed.federated.local.transport", fromlist=["TASKS"]).TASKS, "dsf_facts", fails)
    site = SiteContext("site_a", PartyConfig(output=tmp_path), tmp_path)
    shown = answer(site, "dsf_facts", Message()).info["error"]
    assert shown["where"] == "site_a"
    assert "scan" not in str(shown)


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
