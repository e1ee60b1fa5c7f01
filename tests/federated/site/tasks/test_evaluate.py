# SPDX-License-Identifier: Apache-2.0
"""Finished networks on a site's test part: numbers without names go back, pictures stay; a site's own network first."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.data.arrays import load_part
from dsfedmed.errors import PayloadError
from dsfedmed.evaluation.protocol import ForwardPass, legacy_scores
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks import samfed_files
from dsfedmed.federated.site.tasks.evaluate import evaluate
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build_low_rank
from dsfedmed.federated.site.tasks.personal import train_personal
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import PersonalRequest
from dsfedmed.federated.wire.tasks import EVALUATE, FUSE, PERSONAL
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.store.files import read_json
from dsfedmed.training.personal_config import PersonalConfig
from tests.federated.tiny import BUNDLES, arrived, sent, tiny_plan, tiny_settings

CONFIG = PersonalConfig(learning_rate=0.01)
BRANCH, OWN_BRANCH = {"pfedsam": "low_rank"}, {"pfedsam": PERSONAL.name}


def asked(
    plan: FederationPlan, networks: dict[str, Any], tensors: dict[str, Tensor], **changes: Any
) -> Envelope[EvaluateRequest]:
    body = EvaluateRequest(plan.common, plan.teacher_spec, plan.teacher_init, networks, **changes)
    return arrived(EVALUATE, Envelope(body, tensors))


def named(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{name}/{key}": tensor for key, tensor in weights.items()}


def closed(plan: FederationPlan) -> dict[str, Tensor]:
    """Return weights of the light network whose logits are all zero: no foreground anywhere."""
    return {name: torch.zeros_like(tensor) for name, tensor in plan.start_weights().items()}


def test_every_network_is_scored_on_every_test_image(site: SiteContext, plan: FederationPlan) -> None:
    """A network that finds nothing has a Dice and an IoU of 0 on images with a lesion."""
    networks = {"dsfedmed": "light", "fedavg": "light"}
    tensors = named("dsfedmed", closed(plan)) | named("fedavg", plan.start_weights())
    reply = evaluate(site, asked(plan, networks, tensors))
    assert set(reply.body.cases) == set(networks)
    assert [(case.dice, case.iou) for case in reply.body.cases["dsfedmed"]] == [((0.0,), (0.0,))] * 2
    (nothing,) = reply.body.detected["dsfedmed"]
    assert (nothing.present, nothing.missed, nothing.false_alarms) == (2, 2, 0)
    assert reply.tensors == {}
    assert (reply.body.legacy, reply.body.site_specific, reply.body.unreleased) == ({}, (), {})
    assert not (site.folder / "pictures").exists()
    names = {path.stem for path in site.config.need("data").rglob("*.png")}
    assert not [name for name in names if name in str(reply.body)], "no file name leaves"


def test_the_authors_protocol_is_scored_where_asked_for(site: SiteContext, plan: FederationPlan) -> None:
    start = plan.start_weights()
    reply = evaluate(site, asked(plan, {"dsfedmed": "light"}, named("dsfedmed", start), legacy_eval=True))
    network = plan.light_network()
    part = load_part(site.datalist, "test", plan.light_bundle.preprocessing())
    expected = legacy_scores(network, part, ForwardPass(1, device="cpu"), True)
    found = reply.body.legacy["dsfedmed"]
    assert (found.dice, found.iou) == (pytest.approx(expected.dice), pytest.approx(expected.iou))


def test_pictures_stay_in_the_sites_own_folder(site: SiteContext, plan: FederationPlan) -> None:
    networks = {"dsfedmed": "light", "fedavg": "light"}
    tensors = named("dsfedmed", plan.start_weights()) | named("fedavg", plan.start_weights())
    evaluate(site, asked(plan, networks, tensors, pictures=("fedavg",)))
    files = {path.name for path in (site.folder / "pictures").glob("*.png")}
    assert files
    assert all(name.startswith("fedavg-") for name in files)


def test_fedsams_teacher_of_another_size_is_scored(site: SiteContext) -> None:
    plan = tiny_plan(tiny_settings(teacher_image_size=64))
    weights = named("fedsam", dict(plan.teacher_network().state_dict()))
    reply = evaluate(site, asked(plan, {"fedsam": "teacher"}, weights))
    assert len(reply.body.cases["fedsam"]) == 2


def test_weights_that_do_not_fit_are_refused(site: SiteContext, plan: FederationPlan) -> None:
    with pytest.raises(PayloadError, match="server: tensors missing"):
        evaluate(site, asked(plan, {"dsfedmed": "light"}, {}))


@pytest.fixture
def personal_site(site: SiteContext, plan: FederationPlan) -> SiteContext:
    """The site after a round of pFedSAM."""
    facts = plan.round_facts("pfedsam", 1)
    body = PersonalRequest(plan.common, facts, plan.teacher_spec, plan.teacher_init, CONFIG)
    train_personal(site, arrived(PERSONAL, Envelope(body, sent(shared_weights(site, plan)))))
    return site


def shared_weights(site: SiteContext, plan: FederationPlan) -> dict[str, Tensor]:
    specs = NetworkSpecs(plan.light_spec, plan.teacher_spec, plan.teacher_init)
    return copied_tensors(build_low_rank(site, specs))


def test_a_sites_own_branch_is_scored_and_written_in_place_of_the_shared_one(
    personal_site: SiteContext, plan: FederationPlan
) -> None:
    """Nothing was sent for it, so that it can only be the site's own."""
    reply = evaluate(personal_site, asked(plan, BRANCH, {}, own=OWN_BRANCH, personal=CONFIG))
    assert reply.body.site_specific == ("pfedsam",)
    assert reply.body.unreleased == {}
    metadata = read_json(personal_site.folder / "personal" / "release" / "configs" / "metadata.json")
    dice = [case.dice[0] for case in reply.body.cases["pfedsam"]]
    assert metadata["eval_metrics"]["own site dice"] == pytest.approx(100 * sum(dice) / 2)


def test_a_site_without_a_branch_scores_the_shared_one(site: SiteContext, plan: FederationPlan) -> None:
    weights = named("pfedsam", shared_weights(site, plan))
    reply = evaluate(site, asked(plan, BRANCH, weights, own=OWN_BRANCH, personal=CONFIG))
    assert reply.body.site_specific == ()
    assert len(reply.body.cases["pfedsam"]) == 2


def test_a_bundle_that_cannot_be_written_costs_no_score(
    personal_site: SiteContext, plan: FederationPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site lacks the bundle of the promptless SAM: its scores are sent, and the reason with them, without paths."""
    bundles, light = tmp_path / "bundles", plan.light_bundle.folder.name
    shutil.copytree(BUNDLES / light, bundles / light)
    monkeypatch.setattr(personal_site, "config", replace(personal_site.config, bundles=bundles))
    reply = evaluate(personal_site, asked(plan, BRANCH, {}, own=OWN_BRANCH, personal=CONFIG))
    assert len(reply.body.cases["pfedsam"]) == 2
    assert reply.body.site_specific == ("pfedsam",)
    error = reply.body.unreleased["pfedsam"]
    assert error.where == "site_a"
    assert "bundle" in error.fix
    assert str(tmp_path) not in str(error)


def test_a_sites_own_light_network_is_scored_elsewhere_the_servers(site: SiteContext, plan: FederationPlan) -> None:
    """The site's own finds nothing; the one that was sent would have found something."""
    opened = {name: tensor + (1.0 if name.endswith("bias") else 0.0) for name, tensor in plan.start_weights().items()}
    own, specs = {"samfed": FUSE.name}, {"site_a": plan.light_spec}
    request = asked(plan, {"samfed": "light"}, named("samfed", opened), own=own, site_networks=specs)
    assert evaluate(site, request).body.site_specific == ()
    samfed_files.keep_network(site, plan.round_facts("samfed", 1), samfed_files.OWN, closed(plan))
    reply = evaluate(site, request)
    assert reply.body.site_specific == ("samfed",)
    assert [case.dice for case in reply.body.cases["samfed"]] == [(0.0,)] * 2
