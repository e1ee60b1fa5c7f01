# SPDX-License-Identifier: Apache-2.0
"""A site's round of training, and the site alone: what goes back, what repeats, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.teacher import with_low_rank
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks import train as train_module
from dsfedmed.federated.site.tasks.train import train, train_alone
from dsfedmed.federated.wire.message import CACHED_ROUNDS, Envelope, ReplyHeader, UpdateHeader
from dsfedmed.federated.wire.requests.training import LocalRequest, TrainReply, TrainRequest
from dsfedmed.federated.wire.specs import SoftLabelChoice
from dsfedmed.federated.wire.tasks import LOCAL, TRAIN
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.store.files import write_tensors
from tests.federated.tiny import HASH, arrived, noise_manifest, sent, tiny_plan, tiny_settings


def request(
    plan: FederationPlan, weights: dict[str, Tensor], synthetic: SoftLabelChoice | None = None, **changes: Any
) -> Envelope[TrainRequest]:
    """Return a request as it arrives; ``changes`` are the round's."""
    facts = replace(plan.round_facts("dsfedmed", 1), **changes)
    body = TrainRequest(plan.common, facts, "light", plan.teacher_spec, synthetic=synthetic)
    return arrived(TRAIN, Envelope(body, sent(pack(weights, plan.settings.light.precision))))


def test_a_round_returns_a_finite_difference_and_repeats_to_the_last_bit(
    site: SiteContext, plan: FederationPlan, tmp_path: Path
) -> None:
    start = plan.start_weights()
    reply = train(site, request(plan, start))
    assert reply.is_difference
    assert reply.tensors.keys() == start.keys()
    assert all(reply.tensors[name].shape == tensor.shape for name, tensor in start.items())
    assert all(tensor.dtype == torch.float32 for tensor in reply.tensors.values()), "filters see plain differences"
    assert reply.header.update == UpdateHeader("dsfedmed", 1, "fp16")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in reply.tensors.values())
    assert any(bool(tensor.abs().sum() > 0) for tensor in reply.tensors.values())
    assert reply.body.steps == 2, "6 images in batches of 4"
    assert reply.body.validation is not None
    assert 0.0 <= reply.body.validation <= 1.0
    torch.manual_seed(99)
    twin = train(SiteContext("site_a", site.config, tmp_path / "elsewhere"), request(plan, start))
    assert (twin.body, twin.header) == (reply.body, reply.header)
    assert all(torch.equal(twin.tensors[name], tensor) for name, tensor in reply.tensors.items())
    other = train(SiteContext("site_b", site.config, tmp_path / "b"), request(plan, start))
    assert any(not torch.equal(other.tensors[name], tensor) for name, tensor in reply.tensors.items())


def test_a_notice_is_in_the_site_s_own_log(
    site: SiteContext, plan: FederationPlan, caplog: pytest.LogCaptureFixture
) -> None:
    asked = request(plan, plan.start_weights(), epochs=0)
    train(site, replace(asked, body=replace(asked.body, notice="this site's part of the set is left out")))
    assert [record.message for record in caplog.records] == ["the server says: this site's part of the set is left out"]


def test_without_epochs_a_site_only_validates(site: SiteContext, plan: FederationPlan) -> None:
    reply = train(site, request(plan, plan.start_weights(), epochs=0, round=7))
    assert reply.tensors == {}
    assert reply.body == TrainReply(7, reply.body.validation)
    assert reply.body.validation is not None
    assert reply.header == ReplyHeader()
    assert not (site.folder / "optimizer").exists()


def test_the_optimiser_goes_on_over_rounds_unless_told_otherwise(
    site: SiteContext, plan: FederationPlan, tmp_path: Path
) -> None:
    start = plan.start_weights()
    train(site, request(plan, start))
    kept = train(site, request(plan, start, round=2))
    reset = train(
        SiteContext("site_a", site.config, tmp_path / "reset"), request(plan, start, round=2, keep_optimizer=False)
    )
    assert any(not torch.equal(kept.tensors[name], reset.tensors[name]) for name in kept.tensors)
    assert not (tmp_path / "reset" / "optimizer").exists()
    told = train(site, request(plan, start, round=2, keep_optimizer=False))
    assert all(torch.equal(told.tensors[name], reset.tensors[name]) for name in reset.tensors)


def test_training_runs_do_not_share_an_optimiser_and_old_states_go(site: SiteContext, plan: FederationPlan) -> None:
    start = plan.start_weights()
    for name in ("dsfedmed-0001", "dsfedmed-0002", "fedavg-0001"):
        write_tensors(site.folder / "optimizer" / f"{name}.safetensors", {"state.0.step": torch.tensor(1.0)})
    train(site, request(plan, start, round=CACHED_ROUNDS + 1))
    names = {path.stem for path in (site.folder / "optimizer").iterdir()}
    assert names == {"dsfedmed-0002", f"dsfedmed-{CACHED_ROUNDS + 1:04d}", "fedavg-0001"}


@pytest.mark.parametrize("change", ["missing", "shape", "nan"])
def test_weights_that_are_not_as_announced_are_refused(site: SiteContext, plan: FederationPlan, change: str) -> None:
    asked = request(plan, plan.start_weights())
    name = next(iter(asked.tensors))
    if change == "missing":
        del asked.tensors[name]
    else:
        asked.tensors[name] = torch.zeros(1) if change == "shape" else asked.tensors[name] * float("nan")
    with pytest.raises(PayloadError, match="server: "):
        train(site, asked)


def test_other_soft_labels_than_the_rounds_are_refused(site: SiteContext, plan: FederationPlan, tmp_path: Path) -> None:
    manifest = noise_manifest(tmp_path / "set", ["site_a"] * 2)
    chosen = SoftLabelChoice(manifest, (0, 1), (0,), HASH, 1.0, 1.0, ("site_a",))
    with pytest.raises(PayloadError, match=r"site_a: holds other soft labels than the round uses"):
        train(site, request(plan, plan.start_weights(), chosen))


def test_a_site_that_is_not_named_trains_without_the_soft_labels(
    site: SiteContext, plan: FederationPlan, tmp_path: Path
) -> None:
    manifest = noise_manifest(tmp_path / "set", ["site_a"] * 2)
    chosen = SoftLabelChoice(manifest, (0, 1), (0,), HASH, 1.0, 1.0, ("site_b",))
    with_others = train(site, request(plan, plan.start_weights(), chosen))
    alone = train(SiteContext("site_a", site.config, tmp_path / "alone"), request(plan, plan.start_weights()))
    assert all(torch.equal(alone.tensors[name], tensor) for name, tensor in with_others.tensors.items())


def test_a_proximal_term_holds_the_round_near_its_start(
    site: SiteContext, plan: FederationPlan, tmp_path: Path
) -> None:
    start = plan.start_weights()
    asked = request(plan, start, epochs=3)
    held = replace(asked, body=replace(asked.body, proximal=100.0))
    free = train(site, asked).tensors
    near = train(SiteContext("site_a", site.config, tmp_path / "near"), held).tensors
    far = sum(float(tensor.square().sum()) for tensor in free.values())
    assert sum(float(tensor.square().sum()) for tensor in near.values()) < 0.9 * far


def test_fedsam_trains_a_teacher_of_another_size(site: SiteContext) -> None:
    plan = tiny_plan(tiny_settings(teacher_image_size=64, light={"precision": "fp32"}))
    facts = replace(plan.round_facts("fedsam", 1), batch_size=2, keep_optimizer=False)
    body = TrainRequest(plan.common, facts, "teacher", plan.teacher_spec, learning_rate=1e-3)
    weights = dict(plan.teacher_network().state_dict())
    reply = train(site, arrived(TRAIN, Envelope(body, sent(pack(weights, "fp32")))))
    assert reply.is_difference
    assert reply.body.steps == 3
    assert reply.body.validation is not None
    assert 0 <= reply.body.validation <= 1
    assert any(float(tensor.abs().max()) > 0 for tensor in reply.tensors.values())


def alone(plan: FederationPlan, weights: dict[str, Tensor], epochs: int) -> Envelope[LocalRequest]:
    body = LocalRequest(plan.common, epochs, 4)
    return arrived(LOCAL, Envelope(body, sent(pack(weights, plan.settings.light.precision))))


def test_a_site_alone_returns_the_weights_of_its_best_epoch(site: SiteContext, plan: FederationPlan) -> None:
    start = plan.start_weights()
    steps: list[tuple[int, int]] = []
    site.on_progress = lambda done, total: steps.append((done, total))
    reply = train_alone(site, alone(plan, start, 2))
    assert not reply.is_difference
    assert reply.tensors.keys() == start.keys()
    assert reply.body.steps == 4
    assert 1 <= reply.body.epoch <= 2
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)], "the steps of both epochs are one course"
    again = train(site, request(plan, {name: t.float() for name, t in reply.tensors.items()}, epochs=0))
    assert again.body.validation == pytest.approx(reply.body.validation, abs=0.02)


def test_low_rank_updates_train_alone_with_the_decoder(site: SiteContext, plan: FederationPlan) -> None:
    start = copied_tensors(with_low_rank(plan, plan.teacher_network()))
    body = LocalRequest(
        plan.common, 1, 4, network="low_rank", teacher=plan.teacher_spec, teacher_init=plan.teacher_init,
        learning_rate=1e-2,
    )  # fmt: skip
    reply = train_alone(site, arrived(LOCAL, Envelope(body, sent(pack(start, plan.settings.light.precision)))))
    assert reply.tensors.keys() == start.keys()
    assert (reply.body.epoch, reply.body.steps) == (1, 2)
    moved = {
        name for name, tensor in reply.tensors.items() if not torch.allclose(tensor.float(), start[name], atol=1e-3)
    }
    assert any("lora_B" in name for name in moved)
    assert any("mask_decoder" in name for name in moved)


def test_a_site_alone_keeps_the_best_epoch_and_not_the_last(
    site: SiteContext, plan: FederationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter((0.2, 0.6, 0.4))
    monkeypatch.setattr(train_module, "validate", lambda *_: next(found))
    body = train_alone(site, alone(plan, plan.start_weights(), 3)).body
    assert (body.validation, body.epoch) == (0.6, 2)
