# SPDX-License-Identifier: Apache-2.0
"""The final evaluation at the server: who scores what, what is kept of it, and which scores are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import PayloadError
from dsfedmed.evaluation.detection import DetectedCounts
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.evaluation import evaluate
from dsfedmed.federated.wire.message import Envelope, SiteError
from dsfedmed.federated.wire.requests.evaluation import (
    CaseScores,
    EvaluateReply,
    EvaluateRequest,
    LegacyPair,
)
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import EVALUATE, FUSE, PERSONAL
from dsfedmed.training.personal_config import PersonalConfig
from tests.federated.tiny import FakeRun, tiny_plan, tiny_settings

IMAGES = {"site_a": 2, "site_b": 1, "site_c": 2}
WEIGHTS = {"w": torch.ones(3)}


def case(dice: float, number: int | None = None) -> CaseScores:
    return CaseScores((dice,), (dice / 2,), (4.0,), number)


class Sites:
    """Sites that give every network a Dice of a tenth of its number among those asked for, on all their images."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Envelope[EvaluateRequest]]] = []

    def __call__(self, site: str, task: Task[Any, Any], request: Envelope[EvaluateRequest]) -> Envelope[EvaluateReply]:
        assert task is EVALUATE
        self.asked.append((site, request))
        return Envelope(self.reply(site, request.body))

    def reply(self, site: str, body: EvaluateRequest) -> EvaluateReply:
        cases = {
            name: tuple(case(0.1 * number, index if site == "site_b" else None) for index in range(IMAGES[site]))
            for number, name in enumerate(body.networks, 1)
        }
        legacy = {name: LegacyPair(0.5, 0.25) for name in body.networks} if body.legacy_eval else {}
        return EvaluateReply(cases, legacy)


@pytest.fixture
def sites() -> Sites:
    return Sites()


@pytest.fixture
def run(tmp_path: Path, sites: Sites) -> Any:
    return prepared(tmp_path, sites)


def prepared(folder: Path, sites: Sites, **changes: Any) -> Any:
    run: Any = FakeRun(folder, tiny_settings(**changes), sites)
    run.unseen = ["site_c"]
    run.record.data["facts"] = {site: {"counts": {"test": count}} for site, count in IMAGES.items()}
    return run


OURS = {"dsfedmed": ScoredModel(WEIGHTS)}


def test_every_site_scores_and_the_numbers_are_kept_as_they_came(run: Any, plan: FederationPlan, sites: Sites) -> None:
    cases = evaluate(run, plan, OURS, {})
    plain = {"dice": [0.1], "iou": [0.05], "hd95": [4.0]}
    assert cases == {
        "dsfedmed": {"site_a": [plain, plain], "site_b": [{**plain, "case": 0}], "site_c": [plain, plain]},
    }  # fmt: skip
    assert run.record.data["cases"] == cases
    (_, request), *_ = sites.asked
    assert [site for site, _ in sites.asked] == ["site_a", "site_b", "site_c"]
    assert request.tensors["dsfedmed/w"].dtype == torch.float16
    assert request.body.networks == {"dsfedmed": "light"}
    assert (request.body.teacher_init, request.body.legacy_eval) == (None, False)
    assert set(run.record.data["parameters"]) == {"light", "teacher", "base", "branch"}
    assert run.record.data["parameters"]["light"] == sum(p.numel() for p in plan.light_network().parameters())
    assert set(run.record.data["inference_ms"]) == {"light", "teacher"}
    teacher = run.record.data["parameters"]["teacher"]
    assert run.record.data["bytes"]["fedsam"] == {
        "parameters": teacher, "bytes_per_round_per_site_per_direction": 4 * teacher, "rounds": 2,
    }  # fmt: skip


def test_the_test_parts_are_read_once(tmp_path: Path, run: Any, plan: FederationPlan, sites: Sites) -> None:
    first = evaluate(run, plan, OURS, {"fedavg": ScoredModel(WEIGHTS)})
    again = prepared(tmp_path, sites)
    asked = len(sites.asked)
    assert evaluate(again, plan, OURS, {"fedavg": ScoredModel(WEIGHTS)}) == first
    assert len(sites.asked) == asked


@pytest.mark.parametrize(("equal_steps", "baseline"), [(True, "fedavg_equal_steps"), (False, "fedavg")])
def test_cases_are_drawn_of_all_methods_by_their_difference_from_the_fairest_baseline(
    tmp_path: Path, sites: Sites, equal_steps: bool, baseline: str
) -> None:
    run = prepared(tmp_path, sites, compare={"equal_steps": equal_steps})
    others = {name: ScoredModel(WEIGHTS) for name in ("fedavg", "fedprox")}
    alone = {"local@site_a": ScoredModel(WEIGHTS, "light", ("site_a", "site_c"))}
    evaluate(run, tiny_plan(run.settings), OURS, others | alone)
    bodies = [request.body for site, request in sites.asked if site == "site_a"]
    assert [body.pictures for body in bodies] == [("dsfedmed",), ("fedavg", "fedprox"), ()]
    assert {body.picture_pair for body in bodies} == {("dsfedmed", baseline)}


def test_missed_lesions_and_false_alarms_are_kept_by_method_and_site(
    run: Any, plan: FederationPlan, sites: Sites
) -> None:
    """At an unseen site the networks that sites trained alone are several, whose counts are no one's."""

    def answer(site: str, _: Task[Any, Any], request: Envelope[EvaluateRequest]) -> Envelope[EvaluateReply]:
        counts = (DetectedCounts(IMAGES[site], 1, 0),)
        found: dict[str, tuple[DetectedCounts, ...]] = dict.fromkeys(request.body.networks, counts)
        return Envelope(replace(sites.reply(site, request.body), detected=found))

    run.answer = answer
    alone = ("local@site_a", "local_lora@site_a")
    evaluate(run, plan, OURS, {name: ScoredModel(WEIGHTS, "light", ("site_a", "site_c")) for name in alone})
    two, one = [{"present": 2, "missed": 1, "false_alarms": 0}], [{"present": 1, "missed": 1, "false_alarms": 0}]
    assert run.record.data["detected"] == {
        "dsfedmed": {"site_a": two, "site_b": one, "site_c": two},
        "local": {"site_a": two},
        "local_lora": {"site_a": two},
    }
    assert set(run.record.data["cases"]) == {"dsfedmed", "local", "local_lora"}


def test_a_network_of_one_site_is_scored_there_and_at_the_unseen_ones(
    run: Any, plan: FederationPlan, sites: Sites
) -> None:
    """At an unseen site each case is the mean over the sites' networks, both of which have 0.1 there."""
    own = {f"local@{site}": ScoredModel(WEIGHTS, "light", (site, "site_c")) for site in ("site_a", "site_b")}
    values = iter((0.2, 0.4, 0.6, 0.8))

    def answer(site: str, task: Task[Any, Any], request: Envelope[EvaluateRequest]) -> Envelope[EvaluateReply]:
        (name,) = request.body.networks
        found = () if name == "dsfedmed" else (case(next(values)),)
        return Envelope(EvaluateReply({name: (found or (case(0.5),)) * IMAGES[site]}))

    run.answer = answer
    cases = evaluate(run, plan, OURS, own)
    assert set(cases) == {"dsfedmed", "local"}
    assert [entry["dice"] for entry in cases["local"]["site_a"]] == [[0.2]] * 2
    assert [entry["dice"] for entry in cases["local"]["site_b"]] == [[0.6]]
    assert [entry["dice"] for entry in cases["local"]["site_c"]] == [[pytest.approx(0.6)]] * 2, "(0.4 + 0.8) / 2"
    assert [entry["iou"] for entry in cases["local"]["site_c"]] == [[pytest.approx(0.3)]] * 2


def test_a_network_built_on_the_teacher_comes_with_its_frozen_part_and_options(
    run: Any, plan: FederationPlan, sites: Sites
) -> None:
    options = PersonalConfig(experts=2)
    models = {"pfedsam": ScoredModel(WEIGHTS, "low_rank", own=PERSONAL, personal=options)}
    evaluate(run, plan, models, {"teacher": ScoredModel(WEIGHTS, "teacher")})
    bodies = [request.body for site, request in sites.asked if site == "site_a"]
    assert [(body.teacher_init, body.personal) for body in bodies] == [(plan.teacher_init, options), (None, None)]


def test_sites_with_bundles_of_their_own_are_told_which(run: Any, plan: FederationPlan, sites: Sites) -> None:
    named = {"site_a": plan.light_spec, "site_b": plan.spec_of("light_flexible_unet_segmentation")}
    evaluate(run, plan, {"samfed": ScoredModel(WEIGHTS, own=FUSE, site_networks=named)}, {})
    assert set(sites.asked[0][1].body.site_networks) == {"site_a", "site_b"}
    assert sites.asked[0][1].body.site_networks["site_b"].bundle == "light_flexible_unet_segmentation"


def test_a_site_without_a_network_of_its_own_is_recorded(run: Any, plan: FederationPlan, sites: Sites) -> None:
    def answer(site: str, _: Task[Any, Any], request: Envelope[EvaluateRequest]) -> Envelope[EvaluateReply]:
        own = ("pfedsam",) if site == "site_a" else ()
        failed = {"pfedsam": SiteError("site_a", "no bundle is there", "Install it")} if site == "site_a" else {}
        return Envelope(replace(sites.reply(site, request.body), site_specific=own, unreleased=failed))

    run.answer = answer
    ours = {"pfedsam": ScoredModel(WEIGHTS, "low_rank", own=PERSONAL, personal=PersonalConfig())}
    cases = evaluate(run, plan, ours, {})
    assert set(cases["pfedsam"]) == set(IMAGES), "the scores count all the same"
    assert run.record.data["events"] == [
        ("missing", "site_b", "it has no network of its own for pfedsam; the shared one was scored"),
        ("missing", "site_a", "no bundle of its own network for pfedsam: no bundle is there. Install it"),
    ]


def test_the_authors_protocol_is_kept_beside_it(tmp_path: Path, sites: Sites) -> None:
    run = prepared(tmp_path, sites, legacy_eval=True)
    evaluate(run, tiny_plan(run.settings), OURS, {})
    assert run.record.data["legacy"] == {"dsfedmed": {site: {"dice": 0.5, "iou": 0.25} for site in IMAGES}}


GOOD = EvaluateReply({"dsfedmed": (case(0.5), case(0.5))})


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (replace(GOOD, detected={"dsfedmed": (DetectedCounts(2, 0, 1),)}), "counts more than 2 test images"),
        (replace(GOOD, detected={"dsfedmed": (DetectedCounts(1, 0, 0),) * 2}), "counts more than 2 test images, or "),
        (replace(GOOD, detected={"other": (DetectedCounts(1, 0, 0),)}), "sent scores of networks that were not asked"),
        (EvaluateReply({}), "sent no scores of 2 test images for every network"),
        (EvaluateReply({**GOOD.cases, "other": GOOD.cases["dsfedmed"]}), "sent no scores of 2 test images"),
        (EvaluateReply({"dsfedmed": (case(0.5),)}), "sent no scores of 2 test images"),
        (EvaluateReply({"dsfedmed": (CaseScores((0.5, 0.5), (0.5, 0.5), (1.0, 1.0)),) * 2}),
         "sent scores of another number of classes than 1"),
        (replace(GOOD, legacy={"other": LegacyPair(0.5, 0.5)}), "sent scores of networks that were not asked for"),
    ],
)  # fmt: skip
def test_scores_that_were_not_asked_for_are_refused(
    run: Any, plan: FederationPlan, reply: EvaluateReply, reason: str
) -> None:
    run.answer = lambda *_: Envelope(reply)
    with pytest.raises(PayloadError, match=f"site_a: {reason}"):
        evaluate(run, plan, OURS, {})
