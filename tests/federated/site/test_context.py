# SPDX-License-Identifier: Apache-2.0
"""A site's context: replies given again, its own bundle and images, and errors without file names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.data.facts import site_facts
from dsfedmed.errors import CheckpointError, ConfigError, DataError, DSFedMedError, PayloadError, StoreError
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext, request_key
from dsfedmed.federated.wire import message_files
from dsfedmed.federated.wire.message import (
    CACHED_ROUNDS,
    Envelope,
    Message,
    SiteError,
    open_reply,
    reply_message,
    request_message,
)
from dsfedmed.federated.wire.requests.facts import FactsReply, FactsRequest
from dsfedmed.federated.wire.requests.generator import BranchReply, BranchRequest
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import BRANCH, FACTS, TRAIN


@dataclass(frozen=True)
class Instead(Task[Any, Any]):
    """A task done by a function of the test."""

    do: Callable[..., Any] = print

    def load(self) -> Callable[..., Any]:
        return self.do


class Counting:
    """Does a site's tasks by counting its calls and answering with the count."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        known = {task.name: task for task in (TRAIN, BRANCH, FACTS)}
        monkeypatch.setattr(site_module, "task_named", lambda name: self._instead(known[name]))

    def _instead(self, task: Task[Any, Any]) -> Instead:
        return Instead(**{field.name: getattr(task, field.name) for field in fields(task)}, do=self._do)

    def _do(self, _: SiteContext, request: Envelope[Any]) -> Envelope[Any]:
        self.calls += 1
        tensors = {"w": torch.full((2,), float(self.calls))}
        if isinstance(request.body, BranchRequest):
            return Envelope(BranchReply(float(self.calls)), tensors)
        return Envelope(TrainReply(request.body.round.round, steps=self.calls), tensors, True)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def train_message(
    plan: FederationPlan, number: int, training: str = "dsfedmed", seed: int = 0, weights: Tensor | None = None
) -> Message:
    facts = plan.round_facts(training, number)
    body = TrainRequest(replace(plan.common, seed=seed), facts, "light", plan.teacher_spec)
    return request_message(Envelope(body, {"w": torch.tensor([1.0]) if weights is None else weights}))


def branch_message(plan: FederationPlan, seed: int = 0) -> Message:
    return request_message(Envelope(BranchRequest(replace(plan.common, seed=seed), plan.generator, None, 2)))


def told(reply: Message) -> int:
    """Return the count in a reply."""
    body: Any = reply.info["body"]
    return int(body["steps"] if "steps" in body else body["loss"])


def test_the_same_request_gets_the_same_reply_without_work(
    site: SiteContext, plan: FederationPlan, counting: Counting
) -> None:
    first = site.answer("dsf_train", train_message(plan, 1))
    again = SiteContext("site_a", site.config, site.folder).answer("dsf_train", train_message(plan, 1))
    assert counting.calls == 1
    assert again.info == first.info
    assert again.is_difference
    assert torch.equal(again.tensors["w"], first.tensors["w"])


CHANGES: dict[str, dict[str, Any]] = {
    "another seed": {"seed": 1},
    "another weight": {"weights": torch.tensor([1.5])},
    "another number format": {"weights": torch.tensor([1.0]).half()},
    "another shape": {"weights": torch.ones(1, 1)},
}


@pytest.mark.parametrize("change", [*CHANGES, "no weights"])
def test_a_changed_request_is_done_again(
    site: SiteContext, plan: FederationPlan, counting: Counting, change: str
) -> None:
    changed = train_message(plan, 1, **CHANGES.get(change, {}))
    changed = replace(changed, tensors={}) if change == "no weights" else changed
    site.answer("dsf_train", train_message(plan, 1))
    assert told(site.answer("dsf_train", changed)) == 2
    assert told(site.answer("dsf_train", changed)) == 2


def test_a_changed_datalist_is_noticed_by_the_next_worker(
    site: SiteContext, plan: FederationPlan, images: Path, tmp_path: Path, counting: Counting
) -> None:
    site.answer("dsf_branch", branch_message(plan))
    copy = tmp_path / "copy"
    shutil.copytree(images, copy)
    site_module._datalist.cache_clear()
    same = SiteContext("site_a", replace(site.config, data=copy), site.folder)
    assert told(same.answer("dsf_branch", branch_message(plan))) == 1
    document = json.loads((copy / "datalist.json").read_text())
    document["training"].pop()
    (copy / "datalist.json").write_text(json.dumps(document))
    site_module._datalist.cache_clear()
    changed = SiteContext("site_a", replace(site.config, data=copy), site.folder)
    assert told(changed.answer("dsf_branch", branch_message(plan))) == 2


def test_replies_of_old_rounds_are_forgotten_others_are_kept(
    site: SiteContext, plan: FederationPlan, counting: Counting
) -> None:
    site.answer("dsf_branch", branch_message(plan))
    for number in range(1, CACHED_ROUNDS + 3):
        for training in ("dsfedmed", "fedavg"):
            site.answer("dsf_train", train_message(plan, number, training))
    kept = range(3, CACHED_ROUNDS + 3)
    expected = {f"dsf_train-{name}-{number:04d}" for number in kept for name in ("dsfedmed", "fedavg")} | {"dsf_branch"}
    assert {path.stem for path in (site.folder / "replies").iterdir()} == expected
    calls = counting.calls
    site.answer("dsf_train", train_message(plan, CACHED_ROUNDS + 2))
    site.answer("dsf_branch", branch_message(plan))
    assert counting.calls == calls


def test_a_task_that_fails_leaves_no_reply(
    site: SiteContext, plan: FederationPlan, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: SiteContext, __: Envelope[Any]) -> Envelope[Any]:
        raise DataError("x", "y", "z")

    with monkeypatch.context() as patched:
        patched.setattr(counting, "_do", fail)
        with pytest.raises(DataError):
            site.answer("dsf_train", train_message(plan, 1))
    assert told(site.answer("dsf_train", train_message(plan, 1))) == 1


def test_a_crash_while_a_reply_is_written_never_mixes_two_replies(
    site: SiteContext, plan: FederationPlan, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the new tensors and the new facts, the old request must not get the new tensors."""
    site.answer("dsf_branch", branch_message(plan))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(message_files, "write_json", crash)
        with pytest.raises(KeyboardInterrupt):
            site.answer("dsf_branch", branch_message(plan, seed=1))
    reply = site.answer("dsf_branch", branch_message(plan))
    assert reply.tensors["w"].tolist() == [float(told(reply))] * 2


def test_facts_are_never_given_from_memory(
    site: SiteContext, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say what the site has now."""
    said: list[str] = []

    def report(asked: SiteContext, _: Envelope[FactsRequest]) -> Envelope[FactsReply]:
        said.append(asked.name)
        return Envelope(FactsReply(site_facts(asked.datalist), asked.data_sha256))

    monkeypatch.setattr(counting, "_do", report)
    for _ in range(2):
        site.answer("dsf_facts", request_message(Envelope(FactsRequest())))
    assert said == ["site_a", "site_a"]
    assert not (site.folder / "replies").exists()


def test_an_unknown_task_is_refused(site: SiteContext) -> None:
    with pytest.raises(PayloadError, match=r"server: asked for the unknown task 'dsf_shell'.*same version"):
        site.answer("dsf_shell", Message())


def test_a_request_of_another_task_is_refused_before_anything_is_done(
    site: SiteContext, plan: FederationPlan, counting: Counting
) -> None:
    with pytest.raises(PayloadError, match="server: sent TrainRequest with the unknown key"):
        site.answer("dsf_train", branch_message(plan))
    with pytest.raises(PayloadError, match="server: sent a message of nothing"):
        site.answer("dsf_train", Message())
    assert counting.calls == 0
    assert not (site.folder / "replies").exists()


@pytest.mark.parametrize("training", ["../evil", "a/b", "", "a.b", ".hidden"])
def test_a_training_run_whose_name_leads_elsewhere_is_refused(
    site: SiteContext, plan: FederationPlan, counting: Counting, training: str
) -> None:
    """It becomes a part of file names: of replies, references, residuals, optimiser states."""
    with pytest.raises(PayloadError, match=r"server: sent TrainRequest\.round\.training"):
        site.answer("dsf_train", train_message(plan, 1, training))
    assert counting.calls == 0


def test_the_key_is_that_of_the_request_and_the_images(plan: FederationPlan) -> None:
    key = request_key(train_message(plan, 1), "list")
    assert key == request_key(train_message(plan, 1), "list")
    others = [request_key(train_message(plan, 1), "other"), request_key(train_message(plan, 2), "list"),
              request_key(train_message(plan, 1, weights=torch.tensor([2.0])), "list")]  # fmt: skip
    assert len({key, *others}) == 4


def test_a_reply_from_disk_is_opened_like_a_new_one(
    site: SiteContext, plan: FederationPlan, counting: Counting
) -> None:
    first = site.answer("dsf_train", train_message(plan, 1))
    again = site.answer("dsf_train", train_message(plan, 1))
    opened = open_reply(TRAIN, again, "site_a")
    assert opened.body == open_reply(TRAIN, first, "site_a").body == TrainReply(1, steps=1)
    assert reply_message(opened).info == first.info


def test_images_and_labels_are_read_once(site: SiteContext, plan: FederationPlan) -> None:
    """A task that needs no labels reads none, so that a site without them can take part."""
    training = site.arrays("training", plan.light_spec)
    assert training.images.shape == (6, 1, 32, 32)
    assert site.arrays("training", plan.light_spec) is training
    images = site.images("training", plan.light_spec)
    assert torch.equal(images, training.images)
    assert site.images("training", plan.light_spec) is images
    assert len(site.arrays("validation", plan.light_spec)) == 3


@pytest.mark.parametrize("kind", [DataError, CheckpointError, StoreError, DSFedMedError])
def test_file_names_stay_at_the_site(site: SiteContext, kind: type[DSFedMedError]) -> None:
    """Also in the reason: readers of image files often put the name there."""
    public = site.public_error(kind("/images/smith_john.png", "smith_john.png is truncated", "Fix smith_john.png"))
    assert public.where == "site_a"
    assert kind.__name__ in public.reason
    assert "check-site" in public.fix
    assert "smith" not in str(public)


@pytest.mark.parametrize("kind", [ConfigError, PayloadError])
def test_errors_about_what_the_server_sent_are_told(site: SiteContext, kind: type[DSFedMedError]) -> None:
    assert site.public_error(kind("/data", "why", "how")) == SiteError("site_a", "why", "how")


def test_another_bundle_than_the_server_s_is_refused(site: SiteContext, plan: FederationPlan) -> None:
    assert site.bundle(plan.light_spec) is site.bundle(plan.light_spec)
    with pytest.raises(
        ConfigError, match=r"site_a: its bundle light_unet_segmentation differs from the server's.*same release"
    ):
        site.bundle(replace(plan.light_spec, sha256="0" * 64))
