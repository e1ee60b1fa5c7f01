# SPDX-License-Identifier: Apache-2.0
"""The guard lets out every kind of reply that the workflow needs, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.errors import ConfigError
from dsfedmed.federated.site.tasks import TASKS
from dsfedmed.flare.privacy.egress_guard import EgressGuard, looks_like_images
from dsfedmed.flare.privacy.outgoing import SENDS
from dsfedmed.generator.packing import pack_label_maps
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.store.files import read_json
from tests.federated.conftest import ROOT
from tests.federated.privacy.conftest import Hospital, content, reason, reply, update

MASKS = pack_label_maps(torch.ones((3, 1, 32, 32), dtype=torch.uint8), 1)
VERDICT = {"vetoed": torch.tensor([1, 2]), "distances": torch.rand(9)}
GOOD: dict[str, Any] = {
    "dsf_facts": reply({"facts": {"channels": 1}}),
    "dsf_evaluate": reply({"cases": {"dsfedmed": [{"dice": 0.5}]}}),
    "dsf_soft_labels": reply({"kept": "f" * 64}),
    "dsf_audit": reply({"threshold": 0.1}, VERDICT),
    "dsf_masks": reply({"kind": "deformed"}, MASKS),
    "dsf_branch": reply({"loss": 0.1}, {"down.weight": torch.rand(16, 8, 3, 3).half()}),
    "dsf_base": reply({"loss": 0.1, "round": 1}, {"down.weight": torch.rand(16, 8, 3, 3).half()}, True),
    "dsf_train": update(),
    "dsf_local": reply({"epoch": 1}, {"conv.weight": torch.rand(4, 4, 3, 3)}),
    "dsf_personal": reply({"round": 1}, {"qkv.lora_A.default.weight": torch.rand(4, 96)}, True),
    "dsf_agree": reply({"round": 1, "agreement": 0.9}, {"conv.weight": torch.rand(4, 4, 3, 3)}, True),
    "dsf_label": reply({"images": 3, "confidence": 0.9}),
    "dsf_fuse": reply({"round": 1}, {"levels": torch.zeros((3, 1, 32, 32), dtype=torch.uint8)}),
}


def test_every_task_of_the_package_is_described() -> None:
    assert set(SENDS) == set(TASKS) == set(GOOD)


def test_answers_are_levels_and_nothing_else(hospital: Hospital) -> None:
    pixels = reply({"round": 1}, {"levels": torch.rand(3, 1, 32, 32)})
    assert "not ['levels'] as announced" in reason(EgressGuard().process(pixels, hospital.at("dsf_fuse")))


@pytest.mark.parametrize("task", GOOD)
def test_what_the_workflow_needs_leaves_as_it_is(hospital: Hospital, task: str) -> None:
    assert EgressGuard().process(GOOD[task], hospital.at(task)) is GOOD[task]


@pytest.mark.parametrize(("task", "kind"), [("dsf_branch", "branch"), ("dsf_train", "update"), ("dsf_masks", "masks")])
def test_a_kind_the_site_did_not_name_stays(hospital: Hospital, task: str, kind: str) -> None:
    guard = EgressGuard(allow=["facts", "verdict"])
    assert reason(guard.process(GOOD[task], hospital.at(task))) == f"the site does not send its {kind}"


def test_an_error_leaves_whatever_is_allowed_but_carries_no_tensor(hospital: Hospital) -> None:
    guard, error = EgressGuard(allow=[]), {"error": {"where": "a", "reason": "b", "fix": "c"}}
    told = reply(error)
    assert guard.process(told, hospital.at("dsf_train")) is told
    smuggled = reply(error, {"x": torch.rand(3)})
    assert "only facts" in reason(guard.process(smuggled, hospital.at("dsf_train")))


def test_nvflare_s_own_return_codes_pass(hospital: Hospital) -> None:
    failed = make_reply(ReturnCode.EXECUTION_EXCEPTION)
    assert EgressGuard().process(failed, hospital.at("dsf_train")) is failed


@pytest.mark.parametrize("kind", ["drawn", "anything", None])
def test_drawn_or_unknown_masks_stay_unless_allowed(hospital: Hospital, kind: str | None) -> None:
    told = reply({"kind": kind}, MASKS)
    assert f"does not send {kind} masks" in reason(EgressGuard().process(told, hospital.at("dsf_masks")))


def test_masks_by_the_site_s_choice(hospital: Hospital) -> None:
    drawn, deformed = reply({"kind": "drawn"}, MASKS), reply({"kind": "deformed"}, MASKS)
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
    told = reply({"kind": "deformed"}, tensors, task == "dsf_train")
    assert word in reason(EgressGuard().process(told, hospital.at(task)))


def test_facts_are_plain_and_small(hospital: Hospital) -> None:
    guard = EgressGuard()
    assert "not plain JSON" in reason(guard.process(reply({"x": b"\x89PNG"}), hospital.at("dsf_facts")))
    assert "MiB of facts" in reason(guard.process(reply({"x": "0" * (5 << 20)}), hospital.at("dsf_facts")))


def test_unknown_tasks_and_foreign_replies_stay(hospital: Hospital) -> None:
    assert "does not know the task 'dsf_pixels'" in reason(EgressGuard().process(reply(), hospital.at("dsf_pixels")))
    assert "no data that can be checked" in reason(EgressGuard().process(Shareable(), hospital.at("dsf_train")))


def test_the_caps_hold_per_message_per_run_and_for_the_generator(hospital: Hospital) -> None:
    big = reply({}, {"w": torch.rand(1 << 18)}, True)
    assert "1.0 MiB in one reply; the site allows 0.9" in reason(
        EgressGuard(max_message_mib=0.9).process(big, hospital.at("dsf_train"))
    )
    guard = EgressGuard(max_run_mib=2.5)
    assert [guard.process(big, hospital.at("dsf_train")) is big for _ in range(3)] == [True, True, False]
    assert read_json(hospital.output / "egress.json")["update"]["replies"] == 2
    assert read_json(hospital.output / "egress.json")["refused"]["replies"] == 2
    wide = reply({}, {"w": torch.rand(101)})
    told = EgressGuard(max_branch_numbers=100).process(wide, hospital.at("dsf_branch"))
    assert "a branch of 101 numbers; the site allows 100" in reason(told)
    assert content(EgressGuard(max_branch_numbers=101).process(wide, hospital.at("dsf_branch"))).tensors


def test_no_weight_of_our_networks_is_taken_for_an_image() -> None:
    """At the sizes that hospitals use: SAM at 1024 px on the meta device, the light networks as they are."""
    with torch.device("meta"):
        teacher = build_promptless_sam("vit_b", 1024, 2)
    networks = [teacher] + [
        BundleDefinition(ROOT / "bundles" / f"light_{name}_segmentation", {"image_size": [64, 64]}).network()
        for name in ("unet", "flexible_unet", "tinysam")
    ]
    taken = {
        name
        for network in networks
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point() and looks_like_images(tensor)
    }
    assert taken <= {"image_encoder.pos_embed"}


@pytest.mark.parametrize(("arguments", "word"), [({"allow": ["pixels"]}, "pixels"), ({"masks": "all"}, "masks")])
def test_wrong_rules_stop_the_site_s_start(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        EgressGuard(**arguments)
