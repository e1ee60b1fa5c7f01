# SPDX-License-Identifier: Apache-2.0
"""The guard lets out every kind of reply that the workflow needs, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply

from dsfedmed.algorithms.appearance.image_statistics import ChannelStatistics
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.facts import SiteFacts
from dsfedmed.errors import ConfigError
from dsfedmed.federated.wire.message import SiteError, error_message
from dsfedmed.federated.wire.requests.amplitudes import AmplitudesReply, KeepAmplitudesReply
from dsfedmed.federated.wire.requests.evaluation import CaseScores, EvaluateReply
from dsfedmed.federated.wire.requests.facts import FactsReply
from dsfedmed.federated.wire.requests.generator import BaseReply, BranchReply, MasksReply
from dsfedmed.federated.wire.requests.semi_supervised import AgreeReply, LabelReply, PublicReply
from dsfedmed.federated.wire.requests.statistics import StatisticsReply
from dsfedmed.federated.wire.requests.synthetic import AuditReply, SoftLabelsReply
from dsfedmed.federated.wire.requests.training import LocalReply, TrainReply
from dsfedmed.federated.wire.tasks import TASKS
from dsfedmed.flare.codec import to_shareable
from dsfedmed.flare.privacy.egress_guard import KINDS, EgressGuard, looks_like_images
from dsfedmed.generator.packing import pack_label_maps
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.store.files import read_json
from tests.flare.privacy.conftest import Hospital, content, reason, reply, train_reply, update
from tests.runs.commands import BUNDLES

MASKS = pack_label_maps(torch.ones((3, 1, 32, 32), dtype=torch.uint8), 1)
VERDICT = {"vetoed": torch.tensor([1, 2]), "distances": torch.rand(9)}
HASH = "f" * 64
FACTS = SiteFacts(1, 1, ("lesion",), True, (0, 1), {"training": 3}, (".png",), (32, 32), (32, 32), {})
SCORES = CaseScores((0.5,), (0.4,), (3.0,))
LEVELS = {"levels": torch.zeros((3, 1, 32, 32), dtype=torch.uint8)}
BRANCH = {"down.weight": torch.rand(16, 8, 3, 3).half()}
GOOD: dict[str, Any] = {
    "dsf_facts": reply(FactsReply(FACTS, "0" * 64)),
    "dsf_evaluate": reply(EvaluateReply({"dsfedmed": (SCORES,)})),
    "dsf_soft_labels": reply(SoftLabelsReply(1, HASH)),
    "dsf_audit": reply(AuditReply(0.1), VERDICT),
    "dsf_masks": reply(MasksReply("deformed"), MASKS),
    "dsf_branch": reply(BranchReply(0.1), BRANCH),
    "dsf_base": reply(BaseReply(1, 0.1), BRANCH, True),
    "dsf_train": update(),
    **{
        task: update()
        for task in (
            "dsf_local_layers",
            "dsf_controlled",
            "dsf_contrast",
            "dsf_ditto",
            "dsf_randomised",
            "dsf_exchanged",
            "dsf_local_head",
            "dsf_local_statistics",
            "dsf_unlabelled",
        )
    },
    "dsf_fine_tune": reply(LocalReply(0.5, 1, 3)),
    "dsf_statistics": reply(StatisticsReply((ChannelStatistics(0.3, 0.2),))),
    "dsf_amplitudes": reply(AmplitudesReply(3), {"amplitudes": torch.rand(3, 1, 63, 63)}),
    "dsf_keep_amplitudes": reply(KeepAmplitudesReply(HASH)),
    "dsf_local": reply(LocalReply(0.5, 1, 3), {"conv.weight": torch.rand(4, 4, 3, 3)}),
    "dsf_personal": reply(TrainReply(1, 0.5, 0.1, 3), {"qkv.lora_A.default.weight": torch.rand(4, 96)}, True),
    "dsf_agree": reply(AgreeReply(1, None, 0.1, 3, agreement=0.9), {"conv.weight": torch.rand(4, 4, 3, 3)}, True),
    "dsf_label": reply(LabelReply(3, 12, 0.9)),
    "dsf_public": reply(PublicReply(12)),
    "dsf_fuse": reply(AgreeReply(1, None, 0.1, 3), LEVELS),
}


def with_tensors(task: str, tensors: dict[str, Any]) -> Any:
    """A good reply to a task, with other tensors."""
    return to_shareable(replace(content(GOOD[task]), tensors=tensors))


def test_every_task_of_the_package_is_described() -> None:
    assert set(TASKS) == set(GOOD)


def test_answers_are_levels_and_nothing_else(hospital: Hospital) -> None:
    pixels = with_tensors("dsf_fuse", {"levels": torch.rand(3, 1, 32, 32)})
    assert "not ['levels'] as announced" in reason(EgressGuard().process(pixels, hospital.at("dsf_fuse")))


@pytest.mark.parametrize("task", GOOD)
def test_what_the_workflow_needs_leaves_as_it_is(hospital: Hospital, task: str) -> None:
    assert EgressGuard(allow=KINDS).process(GOOD[task], hospital.at(task)) is GOOD[task]


def test_amplitudes_leave_only_where_the_site_names_them(hospital: Hospital) -> None:
    task, guard = "dsf_amplitudes", EgressGuard(allow=["amplitudes"])
    assert reason(EgressGuard().process(GOOD[task], hospital.at(task))) == "the site does not send its amplitudes"
    assert guard.process(GOOD[task], hospital.at(task)) is GOOD[task]
    images = with_tensors(task, {"amplitudes": torch.rand(3, 1, 63, 63), "images": torch.rand(3, 1, 64, 64)})
    assert "not ['amplitudes'] as announced" in reason(guard.process(images, hospital.at(task)))
    assert set(KINDS) - set(EgressGuard().allow) == {"amplitudes"}


@pytest.mark.parametrize(
    ("task", "kind"),
    [("dsf_branch", "branch"), ("dsf_train", "update"), ("dsf_masks", "masks"), ("dsf_statistics", "statistics")],
)
def test_a_kind_the_site_did_not_name_stays(hospital: Hospital, task: str, kind: str) -> None:
    guard = EgressGuard(allow=["facts", "verdict"])
    assert reason(guard.process(GOOD[task], hospital.at(task))) == f"the site does not send its {kind}"


def test_an_error_leaves_whatever_is_allowed_but_carries_no_tensor(hospital: Hospital) -> None:
    guard, error = EgressGuard(allow=[]), error_message(SiteError("a", "b", "c"), "a")
    told = to_shareable(error)
    assert guard.process(told, hospital.at("dsf_train")) is told
    smuggled = to_shareable(replace(error, tensors={"x": torch.rand(3)}))
    assert "only facts" in reason(guard.process(smuggled, hospital.at("dsf_train")))


def test_two_numbers_a_channel_carry_no_tensor(hospital: Hospital) -> None:
    smuggled = with_tensors("dsf_statistics", {"x": torch.rand(3)})
    assert "only facts" in reason(EgressGuard().process(smuggled, hospital.at("dsf_statistics")))


def test_nvflare_s_own_return_codes_pass(hospital: Hospital) -> None:
    failed = make_reply(ReturnCode.EXECUTION_EXCEPTION)
    assert EgressGuard().process(failed, hospital.at("dsf_train")) is failed


@pytest.mark.parametrize("kind", ["drawn", "anything", None])
def test_drawn_or_unknown_masks_stay_unless_allowed(hospital: Hospital, kind: str | None) -> None:
    words = {"drawn": "does not send drawn masks"}.get(str(kind), "MasksReply.kind")
    told = said("dsf_masks", {"kind": kind})
    assert words in reason(EgressGuard().process(told, hospital.at("dsf_masks")))


def said(task: str, body: Any, **more: Any) -> Any:
    """A good reply to a task, with another body, whatever it is."""
    message = content(GOOD[task])
    return to_shareable(replace(message, info={**message.info, "body": body, **more}))


def test_masks_by_the_site_s_choice(hospital: Hospital) -> None:
    drawn, deformed = (reply(MasksReply(kind), MASKS) for kind in ("drawn", "deformed"))
    assert EgressGuard(masks="drawn").process(drawn, hospital.at("dsf_masks")) is drawn
    assert EgressGuard(masks="drawn").process(deformed, hospital.at("dsf_masks")) is deformed
    assert "allows: none" in reason(EgressGuard(masks="none").process(deformed, hospital.at("dsf_masks")))


@pytest.mark.parametrize(
    ("task", "tensors", "word"),
    [
        ("dsf_train", {"w": torch.tensor([1.0, math.nan])}, "not finite"),
        ("dsf_train", {"w": torch.tensor([math.inf])}, "not finite"),
        ("dsf_train", {"w": torch.ones(4, dtype=torch.uint8)}, "uint8"),
        ("dsf_train", {"w": torch.ones(4, dtype=torch.int64)}, "int64"),
        ("dsf_branch", {"w": torch.rand(5, 1, 64, 64)}, "shaped like images"),
        ("dsf_branch", {"w": torch.rand(1, 48, 80)}, "shaped like images"),
        ("dsf_branch", {"w": torch.rand(64, 64, 3).half()}, "shaped like images"),
        ("dsf_masks", {"planes": torch.ones((1, 9)), "shape": torch.tensor([1, 2, 3])}, "not ['planes', 'shape']"),
        ("dsf_masks", {**MASKS, "images": torch.rand(3)}, "as announced"),
        ("dsf_audit", {**VERDICT, "images": torch.rand(3)}, "as announced"),
        ("dsf_audit", {"vetoed": torch.tensor([1]), "distances": torch.tensor([math.nan])}, "not finite"),
        ("dsf_facts", {"images": torch.rand(3)}, "only facts"),
        ("dsf_evaluate", {"images": torch.rand(3)}, "only facts"),
    ],
)
def test_what_is_not_as_announced_stays(hospital: Hospital, task: str, tensors: dict[str, Any], word: str) -> None:
    assert word in reason(EgressGuard().process(with_tensors(task, tensors), hospital.at(task)))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"facts": b"\x89PNG"}, "no plain JSON"),
        ({"facts": {"channels": 1}}, "without its key"),
        ({"facts": FACTS.to_dict(), "picture": "0" * 99}, "unknown key 'picture'"),
        ({"facts": {**FACTS.to_dict(), "suffixes": ["0" * (5 << 20)]}}, "FactsReply.facts.suffixes"),
    ],
)
def test_facts_are_plain_and_those_of_the_task(hospital: Hospital, body: Any, words: str) -> None:
    assert words in reason(EgressGuard().process(said("dsf_facts", body), hospital.at("dsf_facts")))


def test_facts_are_small(hospital: Hospital) -> None:
    """What is of the right type, and yet more than facts."""
    long = SiteError("x" * 4000, "y" * 4000, "z" * 4000)
    told = reply(EvaluateReply({"dsfedmed": (SCORES,)}, unreleased={f"local@site_{n}": long for n in range(400)}))
    assert "MiB of facts; 4 are enough" in reason(EgressGuard().process(told, hospital.at("dsf_evaluate")))


def test_unknown_tasks_and_foreign_replies_stay(hospital: Hospital) -> None:
    assert "does not know the task 'dsf_pixels'" in reason(EgressGuard().process(update(), hospital.at("dsf_pixels")))
    assert "no data that can be checked" in reason(EgressGuard().process(Shareable(), hospital.at("dsf_train")))


def test_the_caps_hold_per_message_per_run_and_for_the_generator(hospital: Hospital) -> None:
    big = train_reply({"w": torch.rand(1 << 18)})
    assert "1.0 MiB in one reply; the site allows 0.9" in reason(
        EgressGuard(max_message_mib=0.9).process(big, hospital.at("dsf_train"))
    )
    guard = EgressGuard(max_run_mib=2.5)
    assert [guard.process(big, hospital.at("dsf_train")) is big for _ in range(3)] == [True, True, False]
    assert read_json(hospital.output / "egress.json")["update"]["replies"] == 2
    assert read_json(hospital.output / "egress.json")["refused"]["replies"] == 2
    wide = reply(BranchReply(0.1), {"w": torch.rand(101)})
    told = EgressGuard(max_branch_numbers=100).process(wide, hospital.at("dsf_branch"))
    assert "a branch of 101 numbers; the site allows 100" in reason(told)
    assert content(EgressGuard(max_branch_numbers=101).process(wide, hospital.at("dsf_branch"))).tensors


def test_no_weight_of_our_networks_is_taken_for_an_image() -> None:
    """At the sizes that hospitals use: SAM at 1024 px on the meta device, the light networks as they are."""
    with torch.device("meta"):
        teacher = build_promptless_sam("vit_b", 1024, 2)
    networks = [teacher] + [
        BundleDefinition(BUNDLES / f"light_{name}_segmentation", {"image_size": [64, 64]}).network()
        for name in ("unet", "flexible_unet", "tinysam")
    ]
    taken = {
        name
        for network in networks
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point() and looks_like_images(tensor)
    }
    assert taken <= {"image_encoder.pos_embed"}


@pytest.mark.parametrize(("shape", "image"), [((64, 64, 4), True), ((2, 32, 40, 16), True), ((64, 64, 17), False)])
def test_images_of_up_to_sixteen_channels_are_told_by_their_shape(shape: tuple[int, ...], image: bool) -> None:
    assert looks_like_images(torch.zeros(shape)) is image


@pytest.mark.parametrize(("arguments", "word"), [({"allow": ["pixels"]}, "pixels"), ({"masks": "all"}, "masks")])
def test_wrong_rules_stop_the_site_s_start(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        EgressGuard(**arguments)
