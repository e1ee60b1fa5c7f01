# SPDX-License-Identifier: Apache-2.0
"""A site's context: replies given again, its own bundle, errors without file names; and one round of real training."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.errors import CheckpointError, ConfigError, DataError, DSFedMedError, PayloadError, StoreError
from dsfedmed.exchange.compression import pack
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.rounds import start_weights
from dsfedmed.federated.site import child
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import CACHED_ROUNDS, SiteContext
from dsfedmed.federated.site.tasks import TASKS, UNCACHED
from dsfedmed.federated.site.tasks.train import local, train
from dsfedmed.federated.wire.message import Message
from dsfedmed.store.files import write_tensors
from tests.federated.tiny import tiny_plan, tiny_settings


@pytest.fixture(scope="module")
def plan() -> FederationPlan:
    return tiny_plan(tiny_settings())


class Counting:
    """A task that counts its calls and answers with the count."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _: SiteContext, request: Message) -> Message:
        self.calls += 1
        return Message({"call": self.calls}, {"w": torch.full((2,), float(self.calls))}, True)


def _round(number: int, **info: Any) -> Message:
    return Message({"round": number, "arm": "dsfedmed", **info}, {"w": torch.tensor([1.0])})


def test_the_same_request_gets_the_same_reply_without_work(site: SiteContext) -> None:
    task = Counting()
    first = site.replay("dsf_train", _round(1), task)
    again = SiteContext("site_a", site.config, site.folder).replay("dsf_train", _round(1), task)
    assert task.calls == 1
    assert again.info == first.info
    assert again.is_difference
    assert torch.equal(again.tensors["w"], first.tensors["w"])


@pytest.mark.parametrize(
    "changed",
    [
        _round(1, seed=1),
        Message(_round(1).info, {"w": torch.tensor([1.5])}),
        Message(_round(1).info, {"w": torch.tensor([1.0]).half()}),
        Message(_round(1).info, {}),
    ],
)
def test_a_changed_request_is_done_anew(site: SiteContext, changed: Message) -> None:
    task = Counting()
    site.replay("dsf_train", _round(1), task)
    assert site.replay("dsf_train", changed, task).info["call"] == 2
    assert site.replay("dsf_train", changed, task).info["call"] == 2


def test_a_changed_datalist_is_noticed_by_the_next_worker(site: SiteContext, images: Path, tmp_path: Path) -> None:
    task = Counting()
    site.replay("dsf_branch", Message({"seed": 0}), task)
    copy = tmp_path / "copy"
    shutil.copytree(images, copy)
    site_module._datalist.cache_clear()
    same = SiteContext("site_a", replace(site.config, data=copy), site.folder)
    assert same.replay("dsf_branch", Message({"seed": 0}), task).info["call"] == 1
    document = json.loads((copy / "datalist.json").read_text())
    document["training"].pop()
    (copy / "datalist.json").write_text(json.dumps(document))
    site_module._datalist.cache_clear()
    changed = SiteContext("site_a", replace(site.config, data=copy), site.folder)
    assert changed.replay("dsf_branch", Message({"seed": 0}), task).info["call"] == 2


def test_replies_of_old_rounds_are_forgotten_others_are_kept(site: SiteContext) -> None:
    task = Counting()
    site.replay("dsf_branch", Message({"seed": 0}), task)
    for number in range(1, CACHED_ROUNDS + 3):
        site.replay("dsf_train", _round(number), task)
        site.replay("dsf_train", _round(number, arm="fedavg"), task)
    kept = range(3, CACHED_ROUNDS + 3)
    expected = {f"dsf_train-{arm}-{number:04d}" for number in kept for arm in ("dsfedmed", "fedavg")} | {"dsf_branch"}
    assert {path.stem for path in (site.folder / "replies").iterdir()} == expected
    calls = task.calls
    site.replay("dsf_train", _round(CACHED_ROUNDS + 2), task)
    site.replay("dsf_branch", Message({"seed": 0}), task)
    assert task.calls == calls


def test_a_task_that_fails_leaves_no_reply(site: SiteContext) -> None:
    def fail(_: SiteContext, __: Message) -> Message:
        raise DataError("x", "y", "z")

    with pytest.raises(DataError):
        site.replay("dsf_train", _round(1), fail)
    task = Counting()
    assert site.replay("dsf_train", _round(1), task).info["call"] == 1


def test_a_crash_while_a_reply_is_written_never_mixes_two_replies(
    site: SiteContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the new tensors and the new facts, the old request must not get the new tensors."""
    task = Counting()
    site.replay("dsf_branch", Message({"seed": 0}), task)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(child, "write_json", crash)
    with pytest.raises(KeyboardInterrupt):
        site.replay("dsf_branch", Message({"seed": 1}), task)
    monkeypatch.undo()
    reply = site.replay("dsf_branch", Message({"seed": 0}), task)
    assert reply.tensors["w"].tolist() == [float(reply.info["call"])] * 2


def test_facts_are_never_given_from_memory() -> None:
    assert {"dsf_facts"} == UNCACHED
    assert all(name.startswith("dsf_") and callable(task) for name, task in TASKS.items())


@pytest.mark.parametrize("kind", [DataError, CheckpointError, StoreError, DSFedMedError])
def test_file_names_stay_at_the_site(site: SiteContext, kind: type[DSFedMedError]) -> None:
    """Also in the reason: readers of image files often put the name there."""
    public = site.public_error(kind("/images/smith_john.png", "smith_john.png is truncated", "Fix smith_john.png"))
    assert public["where"] == "site_a"
    assert kind.__name__ in public["reason"]
    assert "check-site" in public["fix"]
    assert "smith" not in json.dumps(public)


@pytest.mark.parametrize("kind", [ConfigError, PayloadError])
def test_errors_about_what_the_server_sent_are_told(site: SiteContext, kind: type[DSFedMedError]) -> None:
    assert site.public_error(kind("/data", "why", "how")) == {"where": "site_a", "reason": "why", "fix": "how"}


def test_another_bundle_than_the_server_s_is_refused(site: SiteContext, plan: FederationPlan) -> None:
    assert site.bundle(plan.light_spec) is site.bundle(plan.light_spec)
    with pytest.raises(
        ConfigError, match=r"site_a: its bundle light_unet_segmentation differs from the server's.*same release"
    ):
        site.bundle({**plan.light_spec, "sha256": "0" * 64})


def _request(plan: FederationPlan, weights: dict[str, Tensor], **changes: Any) -> Message:
    info = {
        **plan.common,
        "arm": "dsfedmed",
        "network": "light",
        "round": 1,
        "epochs": 1,
        "batch_size": 4,
        "keep_optimizer": True,
        "synthetic": None,
        **changes,
    }
    return Message(
        info, {f"weights/{name}": tensor for name, tensor in pack(weights, plan.settings.light.precision).items()}
    )


def test_a_round_returns_a_finite_difference_and_replays_to_the_last_bit(
    site: SiteContext, plan: FederationPlan, tmp_path: Path
) -> None:
    start = start_weights(plan)
    reply = train(site, _request(plan, start))
    assert reply.is_difference
    assert reply.tensors.keys() == start.keys()
    assert all(reply.tensors[name].shape == tensor.shape for name, tensor in start.items())
    assert all(tensor.dtype == torch.float32 for tensor in reply.tensors.values()), "filters see plain differences"
    assert reply.info["update"] == {"arm": "dsfedmed", "round": 1, "precision": "fp16"}
    assert all(bool(torch.isfinite(tensor).all()) for tensor in reply.tensors.values())
    assert any(bool(tensor.abs().sum() > 0) for tensor in reply.tensors.values())
    assert reply.info["weight"] == 6
    assert reply.info["steps"] == 2, "6 images in batches of 4"
    assert 0.0 <= reply.info["validation"] <= 1.0
    torch.manual_seed(99)
    twin = train(SiteContext("site_a", site.config, tmp_path / "elsewhere"), _request(plan, start))
    assert twin.info == reply.info
    assert all(torch.equal(twin.tensors[name], tensor) for name, tensor in reply.tensors.items())
    other = train(SiteContext("site_b", site.config, tmp_path / "b"), _request(plan, start))
    assert any(not torch.equal(other.tensors[name], tensor) for name, tensor in reply.tensors.items())


def test_without_epochs_a_site_only_validates(site: SiteContext, plan: FederationPlan) -> None:
    reply = train(site, _request(plan, start_weights(plan), epochs=0, round=7))
    assert reply.tensors == {}
    assert set(reply.info) == {"round", "validation"}
    assert reply.info["round"] == 7
    assert not (site.folder / "optimizer").exists()


def test_the_optimiser_goes_on_over_rounds_unless_told_otherwise(
    site: SiteContext, plan: FederationPlan, tmp_path: Path
) -> None:
    start = start_weights(plan)
    train(site, _request(plan, start))
    kept = train(site, _request(plan, start, round=2))
    reset = train(
        SiteContext("site_a", site.config, tmp_path / "reset"), _request(plan, start, round=2, keep_optimizer=False)
    )
    assert any(not torch.equal(kept.tensors[name], reset.tensors[name]) for name in kept.tensors)
    assert not (tmp_path / "reset" / "optimizer").exists()
    told = train(site, _request(plan, start, round=2, keep_optimizer=False))
    assert all(torch.equal(told.tensors[name], reset.tensors[name]) for name in reset.tensors)


def test_arms_do_not_share_an_optimiser_and_old_states_go(site: SiteContext, plan: FederationPlan) -> None:
    start = start_weights(plan)
    for name in ("dsfedmed-0001", "dsfedmed-0002", "fedavg-0001"):
        write_tensors(site.folder / "optimizer" / f"{name}.safetensors", {"state.0.step": torch.tensor(1.0)})
    train(site, _request(plan, start, round=CACHED_ROUNDS + 1))
    names = {path.stem for path in (site.folder / "optimizer").iterdir()}
    assert names == {"dsfedmed-0002", f"dsfedmed-{CACHED_ROUNDS + 1:04d}", "fedavg-0001"}


@pytest.mark.parametrize("change", ["missing", "shape", "nan"])
def test_weights_that_are_not_as_announced_are_refused(site: SiteContext, plan: FederationPlan, change: str) -> None:
    request = _request(plan, start_weights(plan))
    name = next(iter(request.tensors))
    if change == "missing":
        del request.tensors[name]
    else:
        request.tensors[name] = torch.zeros(1) if change == "shape" else request.tensors[name] * float("nan")
    with pytest.raises(PayloadError, match="server: "):
        train(site, request)


def test_other_soft_labels_than_the_round_s_are_refused(site: SiteContext, plan: FederationPlan) -> None:
    chosen = {"soft_labels": "0" * 64, "selected": [0], "supervised_weight": 1.0, "kl_weight": 1.0}
    chosen["sites"] = ["site_a"]
    with pytest.raises(PayloadError, match=r"site_a: holds other soft labels than the round uses"):
        train(site, _request(plan, start_weights(plan), synthetic=chosen))


def test_a_site_alone_returns_the_weights_of_its_best_epoch(site: SiteContext, plan: FederationPlan) -> None:
    start = start_weights(plan)
    reply = local(site, _request(plan, start, epochs=2))
    assert not reply.is_difference
    assert reply.tensors.keys() == start.keys()
    assert reply.info["steps"] == 4
    assert 1 <= reply.info["epoch"] <= 2
    again = train(site, _request(plan, {name: t.float() for name, t in reply.tensors.items()}, epochs=0))
    assert again.info["validation"] == pytest.approx(reply.info["validation"], abs=0.02)
