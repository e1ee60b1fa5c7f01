# SPDX-License-Identifier: Apache-2.0
"""Rounds of sites without labels: no label is read, the same bits again, and the public set is verified."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.manifest import Manifest
from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.exchange.compression import add
from dsfedmed.federated.party.folders import SET_FOLDER
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import PULLED
from dsfedmed.federated.site.tasks.baselines.unlabelled import keep_public_set, train_unlabelled
from dsfedmed.federated.wire.message import Envelope, UpdateHeader
from dsfedmed.federated.wire.requests.semi_supervised import PublicRequest
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.requests.unlabelled import UnlabelledRequest
from dsfedmed.federated.wire.specs import SetOffer
from dsfedmed.federated.wire.tasks import UNLABELLED
from dsfedmed.store.files import read_tensors
from dsfedmed.training.baselines.unlabelled_options import FixMatchOptions, LsslOptions, MeanTeacherOptions
from tests.federated.site.tasks.baselines.toy_site import again, facts_of, same, sent, start_of
from tests.federated.tiny import arrived, noise_manifest

PUBLIC = 4
ROUNDS: dict[str, Any] = {
    "fixmatch": FixMatchOptions(threshold=0.51),
    "meanteacher": MeanTeacherOptions(ramp_rounds=1),
    "lssl": LsslOptions(gate=0.1),
}
"""By method, options with which the own images teach from the start."""


@pytest.fixture(params=ROUNDS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Assessed(nn.Module):
    """The toy network with a confidence for its mask."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 2, 1))

    def assessed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        both = self.body(images)
        return both[:, :1], both[:, 1:]

    def forward(self, images: Tensor) -> Tensor:
        return self.assessed(images)[0]


@pytest.fixture(autouse=True)
def _network(request: pytest.FixtureRequest, site: SiteContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give LSSL a network with confidences."""
    if "method" in request.fixturenames and request.getfixturevalue("method") == "lssl":
        monkeypatch.setattr(BundleDefinition, "network", lambda _, seed=0: Assessed(seed))


def public_set(site: SiteContext) -> Manifest:
    """Lay the public set down as if it had been pulled."""
    return noise_manifest(site.folder / SET_FOLDER, ["public"] * PUBLIC)


def ask(method: str, plan: FederationPlan, site: SiteContext, number: int = 1, **changes: Any) -> Envelope[TrainReply]:
    """Let the site do a round from the start weights."""
    body = UnlabelledRequest(plan.common, facts_of(plan, number), public_set(site), replace(ROUNDS[method], **changes))
    return train_unlabelled(site, arrived(UNLABELLED, Envelope(body, sent(start_of(site, plan)))))


def test_a_round_returns_the_difference_and_no_validation(method: str, site: SiteContext, plan: FederationPlan) -> None:
    reply = ask(method, plan, site)
    assert reply.is_difference
    assert reply.tensors.keys() == start_of(site, plan).keys()
    assert any(bool(tensor.abs().max() > 0) for tensor in reply.tensors.values())
    assert reply.body.validation is None, "the site has no labels"
    before = 2 if method == "lssl" else 0
    assert reply.body.steps == 4 + before, "six own images in batches of four, twice; LSSL's four public ones before"
    assert reply.header.update == UpdateHeader("toy", 1, "fp32")
    assert "toy/loss" in reply.header.scalars


def test_no_label_of_the_site_is_read(method: str, site: SiteContext, plan: FederationPlan, tmp_path: Path) -> None:
    """With all label files spoilt a round is the same."""
    spoilt = tmp_path / "unlabelled"
    shutil.copytree(site.config.need("data"), spoilt)
    for path in (spoilt / "labels").iterdir():
        path.write_bytes(b"no image")
    first = ask(method, plan, site)
    second = ask(method, plan, again(spoilt, tmp_path / "own"))
    assert same(first.tensors, second.tensors)


def test_the_own_images_teach_and_without_their_weight_do_not(
    method: str, site: SiteContext, plan: FederationPlan, tmp_path: Path
) -> None:
    images = site.config.need("data")
    taught, alone = ask(method, plan, site), ask(method, plan, again(images, tmp_path / "b"), unlabelled_weight=0.0)
    assert not same(taught.tensors, alone.tensors)


def test_a_round_asked_again_gives_the_same_bits_also_after_the_next_one(
    method: str, site: SiteContext, plan: FederationPlan
) -> None:
    ask(method, plan, site)
    second = ask(method, plan, site, 2)
    ask(method, plan, site, 3)
    repeated = ask(method, plan, again(site.config.need("data"), site.folder), 2)
    assert (repeated.body, repeated.header) == (second.body, second.header)
    assert same(repeated.tensors, second.tensors)


def test_the_rounds_have_their_own_rate(method: str, site: SiteContext, plan: FederationPlan, tmp_path: Path) -> None:
    """Plain gradient descent at a millionth of the rate moves a millionth as far, nearly."""
    whole = ask(method, plan, site)
    slow = ask(method, plan, again(site.config.need("data"), tmp_path / "b"), rate_factor=1e-3)
    lengths = [float(torch.cat([t.flatten() for t in reply.tensors.values()]).norm()) for reply in (whole, slow)]
    assert lengths[1] / lengths[0] == pytest.approx(1e-3, rel=0.5)


def test_sure_pixels_are_told_as_a_share(site: SiteContext, plan: FederationPlan) -> None:
    assert ask("fixmatch", plan, site, threshold=1.0).header.scalars["toy/sure_pixels"] == 0
    assert 0 < ask("fixmatch", plan, site, 2).header.scalars["toy/sure_pixels"] <= 1


def test_the_teacher_is_the_mean_of_its_network_and_goes_on_from_round_to_round(
    site: SiteContext, plan: FederationPlan
) -> None:
    """At decay 0 it is the student as the round ended; after two rounds of four steps it has followed eight."""
    first = ask("meanteacher", plan, site, decay=0.0)
    kept = read_tensors(site.folder / "mean_teacher" / "toy-0001.safetensors")
    for name, tensor in add(start_of(site, plan), first.tensors).items():
        torch.testing.assert_close(kept[f"teacher/{name}"], tensor)
    ask("meanteacher", plan, site, 2)
    assert int(read_tensors(site.folder / "mean_teacher" / "toy-0002.safetensors")["steps"]) == 8


def test_the_consistency_is_ramped_up(site: SiteContext, plan: FederationPlan) -> None:
    """exp(-5 (1 - t / 4)^2) with t = 0 in round 1 and 2 in round 3, times 0.5; whole from round 5 on."""
    told = [
        ask("meanteacher", plan, site, number, ramp_rounds=4, unlabelled_weight=0.5).header.scalars
        for number in (1, 3, 5)
    ]
    expected = [0.5 * math.exp(-5), 0.5 * math.exp(-1.25), 0.5]
    assert [each["toy/consistency_weight"] for each in told] == pytest.approx(expected)


def test_lssl_needs_confidences(site: SiteContext, plan: FederationPlan) -> None:
    with pytest.raises(ConfigError, match=r"has no confidences.*light_assessed_unet_segmentation"):
        ask("lssl", plan, site)


def test_images_that_are_not_trusted_take_no_step(
    site: SiteContext, plan: FederationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the gate of 0.99 there is none, so that the public steps are all."""
    monkeypatch.setattr(BundleDefinition, "network", lambda _, seed=0: Assessed(seed))
    reply = ask("lssl", plan, site, gate=0.99)
    assert reply.body.steps == 2
    assert reply.header.scalars["toy/images_trusted"] == 0


def test_the_public_set_is_verified_before_it_is_kept(site: SiteContext) -> None:
    manifest = public_set(site)
    request = Envelope(PublicRequest(SetOffer(manifest, PULLED)))
    assert keep_public_set(site, request).body.public == PUBLIC
    (shard,) = (site.folder / SET_FOLDER).glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(PayloadError):
        keep_public_set(site, request)
