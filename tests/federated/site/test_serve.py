# SPDX-License-Identifier: Apache-2.0
"""Whatever a task raises, the server gets a reply or a reason, and the site's log the rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError, DataError
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.serve import answer, is_out_of_memory
from dsfedmed.federated.wire.message import Envelope, Message, SiteError, open_reply, request_message
from dsfedmed.federated.wire.requests.facts import FactsRequest
from dsfedmed.federated.wire.tasks import FACTS

REQUEST = request_message(Envelope(FactsRequest()))


def raising(site: SiteContext, monkeypatch: pytest.MonkeyPatch, error: Exception) -> Any:
    """Do a task that raises."""

    def fail(*_: object) -> Message:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(site, "answer", fail)
        return answer(site, "dsf_facts", REQUEST)


def test_a_task_that_is_done_gives_its_reply(site: SiteContext) -> None:
    reply = answer(site, "dsf_facts", REQUEST)
    assert isinstance(reply, Message)
    assert open_reply(FACTS, reply, "site_a").body.facts.counts["training"] == 6


def test_an_unknown_task_and_a_wrong_request_are_reasons(site: SiteContext) -> None:
    assert answer(site, "dsf_shell", Message()) == SiteError(
        "site_a", "asked for the unknown task 'dsf_shell'", "Use the same version of dsfedmed everywhere"
    )
    found = answer(site, "dsf_facts", Message({"body": {"paths": True}}))
    assert isinstance(found, SiteError)
    assert "unknown key" in found.reason


def test_a_task_s_name_is_one_line_of_the_log(site: SiteContext, caplog: pytest.LogCaptureFixture) -> None:
    answer(site, "x\n2026-01-01 dsfedmed.worker all is well\x1b[2J", Message())
    assert [record.getMessage().isprintable() for record in caplog.records] == [True]


def test_a_file_name_stays_in_the_sites_log(
    site: SiteContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = raising(site, monkeypatch, DataError("/images/smith.png", "smith.png is truncated", "Fix smith.png"))
    assert "smith" not in str(found)
    assert "smith.png is truncated" in caplog.text, "the site itself must be able to find it"
    told = raising(site, monkeypatch, ConfigError("bundles", "is not set", "Set it"))
    assert told == SiteError("site_a", "is not set", "Set it")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError("smith.png"), "ran out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory, smith.png"), "ran out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 GB"), "ran out of memory"),
        (RuntimeError("smith.png"), "failed with RuntimeError"),
        (KeyError("smith.png"), "failed with KeyError"),
    ],
)
def test_what_a_library_raises_is_one_failed_task_without_its_text(
    site: SiteContext, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, kind: str
) -> None:
    found = raising(site, monkeypatch, error)
    assert found == SiteError("site_a", f"dsf_facts {kind}", "See worker.log at the site")
    assert str(error) in capsys.readouterr().err, "the trace is in the site's log"


def test_a_task_that_was_stopped_by_the_user_is_no_failed_task(
    site: SiteContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        raising(site, monkeypatch, KeyboardInterrupt())  # type: ignore[arg-type]


def test_memory_is_told_apart() -> None:
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("memory of a patient"))


def test_a_name_of_any_length_makes_a_short_reason(site: SiteContext) -> None:
    site_module._datalist.cache_clear()
    found = answer(site, "x" * 10_000, Message())
    assert isinstance(found, SiteError)
    assert len(found.reason) < 120
