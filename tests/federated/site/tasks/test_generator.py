# SPDX-License-Identifier: Apache-2.0
"""The generator's tasks at a site: a round of the base, the site's branch, and masks that are not its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError
from dsfedmed.exchange.compression import pack, unpack
from dsfedmed.federated.party.generator_base import generator_base_sha256
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.generator import fit_site_branch, sample_masks, train_base
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.generator import BaseRequest, BranchRequest, MasksRequest
from dsfedmed.federated.wire.tasks import BASE, BRANCH, MASKS
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.generator.networks.embedded import build_base, embedded_base
from dsfedmed.generator.packing import unpack_label_maps
from tests.federated.tiny import arrived, tiny_plan, tiny_settings
from tests.generator.sd_folders import make_tiny_folder


@pytest.fixture(scope="module")
def plan() -> FederationPlan:
    return tiny_plan(tiny_settings(light={"precision": "fp32"}, generator_model={"batch_size": 4}))


@pytest.fixture(scope="module")
def base(plan: FederationPlan) -> dict[str, torch.Tensor]:
    return dict(build_base(plan.generator, 1).state_dict())


def base_request(
    plan: FederationPlan, base: dict[str, torch.Tensor], number: int = 1, steps: int = 2
) -> Envelope[BaseRequest]:
    body = BaseRequest(plan.common, plan.generator, number, steps, (number - 1) * steps, 4)
    return arrived(BASE, Envelope(body, pack(base, "fp32")))


def test_a_round_of_the_base_returns_the_difference_and_repeats(
    site: SiteContext, plan: FederationPlan, base: dict[str, torch.Tensor]
) -> None:
    steps: list[tuple[int, int]] = []
    site.on_progress = lambda done, total: steps.append((done, total))
    reply = train_base(site, base_request(plan, base))
    assert reply.is_difference
    assert reply.tensors.keys() == base.keys()
    assert any(float(tensor.abs().max()) > 0 for tensor in reply.tensors.values())
    assert all(float(tensor.abs().max()) < 1 for tensor in reply.tensors.values()), "a difference, not weights"
    assert (reply.body.round, reply.header.step) == (1, 1)
    assert reply.header.scalars == {"base_loss": reply.body.loss}
    assert steps == [(1, 2), (2, 2)]
    again = train_base(site, base_request(plan, base))
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in reply.tensors.items())
    other = train_base(site, base_request(plan, base, number=2))
    assert any(not torch.equal(other.tensors[name], tensor) for name, tensor in reply.tensors.items())


def branch_request(
    plan: FederationPlan, base: dict[str, torch.Tensor], sha256: str | None = None
) -> Envelope[BranchRequest]:
    return arrived(BRANCH, Envelope(BranchRequest(plan.common, plan.generator, sha256, 2), pack(base, "fp32")))


def test_what_was_trained_of_the_branch_leaves_and_the_base_does_not(
    site: SiteContext, plan: FederationPlan, base: dict[str, torch.Tensor]
) -> None:
    steps: list[tuple[int, int]] = []
    site.on_progress = lambda done, total: steps.append((done, total))
    reply = fit_site_branch(site, branch_request(plan, base))
    frozen = build_base(plan.generator)
    frozen.load_state_dict(base)
    start = branch_state(build_branch(embedded_base(frozen, plan.generator), plan.generator))
    assert reply.tensors.keys() == start.keys()
    assert not reply.is_difference
    assert reply.header.scalars == {"branch_loss": reply.body.loss}
    assert steps == [(1, 2), (2, 2)]
    elsewhere = fit_site_branch(SiteContext("site_b", site.config, site.folder), branch_request(plan, base))
    assert any(not torch.equal(elsewhere.tensors[name], tensor) for name, tensor in reply.tensors.items())


def test_a_site_with_another_stable_diffusion_refuses(
    site: SiteContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that has none, and one that has one where the base is embedded."""
    model: dict[str, Any] = {"base": "stable_diffusion", "prompt": "a scan", "lora_rank": 2, "zero_rank": 2}
    plan = tiny_plan(tiny_settings(generator_model={**model, "batch_size": 4}))
    ours, theirs = (make_tiny_folder(tmp_path / name, seed=seed) for seed, name in enumerate(("ours", "theirs")))
    here = replace(site.config, generator=ours)
    announced = generator_base_sha256(plan.generator, replace(here, generator=theirs), tmp_path)
    monkeypatch.setattr(site, "config", here)
    with pytest.raises(ConfigError, match="site_a: its Stable Diffusion is another than the server's"):
        fit_site_branch(site, branch_request(plan, {}, announced))
    with pytest.raises(ConfigError, match="not None"):
        fit_site_branch(site, branch_request(plan, {}, None))
    monkeypatch.setattr(site, "config", replace(here, generator=None))
    with pytest.raises(ConfigError, match="`generator` is not set"):
        fit_site_branch(site, branch_request(plan, {}, announced))


def masks_request(plan: FederationPlan, count: int) -> Envelope[MasksRequest]:
    return arrived(MASKS, Envelope(MasksRequest(plan.common, count)))


def test_masks_are_deformed_unless_the_hospital_lets_its_own_leave(
    site: SiteContext, plan: FederationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = site.arrays("training", plan.light_spec).labels
    reply = sample_masks(site, masks_request(plan, 4))
    deformed = unpack_label_maps(reply.tensors, 1, 32, "site_a")
    assert reply.body.kind == "deformed"
    assert deformed.shape == (4, 1, 32, 32)
    assert not [one for one in deformed if any(torch.equal(one, drawn) for drawn in labels)]
    again = unpack_label_maps(sample_masks(site, masks_request(plan, 4)).tensors, 1, 32, "site_a")
    assert torch.equal(again, deformed)
    monkeypatch.setattr(site, "config", replace(site.config, send_drawn_masks=True))
    drawn = sample_masks(site, masks_request(plan, 4))
    assert drawn.body.kind == "drawn"
    assert torch.equal(unpack_label_maps(drawn.tensors, 1, 32, "site_a"), labels[:4])


def test_masks_have_background_where_a_pixel_has_no_label(
    site: SiteContext, plan: FederationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of the first image is ignored, all of the second: of four drawn masks three leave."""
    arrays = site.arrays("training", plan.light_spec)
    labels = arrays.labels.clone()
    labels[0, :, :8], labels[1] = 255, 255
    monkeypatch.setattr(site, "arrays", lambda *_: replace(arrays, labels=labels))
    monkeypatch.setattr(site, "config", replace(site.config, send_drawn_masks=True))
    drawn = unpack_label_maps(sample_masks(site, masks_request(plan, 4)).tensors, 1, 32, "site_a")
    assert torch.equal(drawn[1:], labels[2:5])
    assert not drawn[0, :, :8].any()
    assert torch.equal(drawn[0, :, 8:], labels[0, :, 8:])


def test_the_base_travels_in_the_runs_number_format(site: SiteContext, base: dict[str, torch.Tensor]) -> None:
    half = tiny_plan(tiny_settings(light={"precision": "fp16"}, generator_model={"batch_size": 4}))
    reply = train_base(site, base_request(half, base))
    assert {tensor.dtype for tensor in reply.tensors.values()} == {torch.float16}
    assert {tensor.dtype for tensor in unpack(reply.tensors).values()} == {torch.float32}
