# SPDX-License-Identifier: Apache-2.0
"""A site's tasks in this very process: the site's threads, its progress, and errors as a worker process has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.local import in_process as module
from dsfedmed.federated.local.in_process import InProcessWorker
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.message import Envelope, Message, SiteError, open_reply, request_message
from dsfedmed.federated.wire.requests.facts import FactsRequest
from dsfedmed.federated.wire.tasks import FACTS
from tests.federated.tiny import BUNDLES

REQUEST = request_message(Envelope(FactsRequest()))


def never() -> bool:
    return False


def test_a_task_is_done(tmp_path: Path) -> None:
    site_module._datalist.cache_clear()
    (images,) = make_demo_sites(tmp_path / "images", 0, ("site_a",), training=3, validation=2, test=1)
    worker = InProcessWorker("site_a", PartyConfig(data=images, bundles=BUNDLES), tmp_path / "own")
    reply = open_reply(FACTS, worker.run("dsf_facts", REQUEST, never), "site_a")
    assert reply.body.facts.counts == {"training": 3, "validation": 2, "test": 1}
    worker.stop()


def test_the_threads_are_the_sites_while_it_works_and_the_servers_again_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def look(*_: object) -> Message:
        seen.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "answer", look)
    before = torch.get_num_threads()
    worker = InProcessWorker("site_a", PartyConfig(threads=before + 1), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        worker.run("dsf_facts", REQUEST, never)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


def test_why_a_task_was_not_done_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "answer", lambda *_: SiteError("site_a", "has no images", "Give it some"))
    with pytest.raises(DSFedMedError) as caught:
        InProcessWorker("site_a", PartyConfig(), tmp_path).run("dsf_facts", REQUEST, never)
    assert (caught.value.where, caught.value.reason, caught.value.fix) == ("site_a", "has no images", "Give it some")


@pytest.mark.parametrize(("every_s", "told"), [(0, []), (1, [(1, 2)])])
def test_steps_are_told_as_often_as_the_site_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: int, told: list[tuple[int, int]]
) -> None:
    steps: list[tuple[int, int]] = []

    def work(site: SiteContext, *_: object) -> Message:
        progress: Any = site.on_progress
        progress(0, 2)
        progress._last -= 1.0
        progress(1, 2)
        return Message()

    monkeypatch.setattr(module, "answer", work)
    worker = InProcessWorker("site_a", PartyConfig(progress_s=every_s), tmp_path)
    worker.run("dsf_facts", REQUEST, never, lambda done, total: steps.append((done, total)))
    assert steps == told
