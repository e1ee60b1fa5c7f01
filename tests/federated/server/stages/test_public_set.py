# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed at the server: the public set, its one broadcast and who missed it, and the labels alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError, DataError
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.broadcast import TeacherBroadcast, unlabelled_sites
from dsfedmed.federated.server.stages.fusion import site_network_specs
from dsfedmed.federated.server.stages.public_set import (
    PublicSet,
    labels_only,
    publish,
    rounds_with_teacher,
    start_global,
    teacher_kind,
    tune_teacher,
)
from dsfedmed.federated.server.training_run import TrainingState
from dsfedmed.federated.wire.message import Message
from dsfedmed.store.files import read_json
from dsfedmed.training.samfed import SamFedConfig
from tests.federated.tiny import flow_with_public


class Sites:
    """Sites that label their images unless they are away."""

    def __init__(self) -> None:
        self.away: set[str] = set()

    def __call__(self, site: str, task: str, request: Message) -> Message | None:
        assert task == "dsf_label"
        return None if site in self.away else Message({"confidence": 0.9})


@pytest.fixture
def sites() -> Sites:
    return Sites()


@pytest.fixture
def flow(tmp_path: Path, sites: Sites) -> Any:
    return flow_with_public(tmp_path, sites, teacher={"epochs": 1, "tune": "lora"})


def test_the_set_is_laid_out_once(flow: Any, plan: FederationPlan, public: PublicSet) -> None:
    assert (len(public.training), len(public.validation)) == (6, 3)
    assert set(public.training.origin) == {"public"}
    again = publish(flow, plan)
    assert again.manifest == public.manifest


def test_a_server_without_a_public_folder_is_told_where_to_write_it(flow: Any, plan: FederationPlan) -> None:
    flow.config = replace(flow.config, public=None)
    with pytest.raises(ConfigError, match="`public` is not set"):
        publish(flow, plan)


def test_labels_of_another_kind_are_refused(flow: Any, plan: FederationPlan) -> None:
    other = replace(plan, facts=replace(plan.facts, num_classes=2, label_names=("a", "b")))
    with pytest.raises(DataError, match="classes and nesting"):
        publish(flow, other)


def test_a_site_that_missed_the_broadcast_is_asked_again_and_no_other(
    flow: Any, plan: FederationPlan, public: PublicSet, sites: Sites
) -> None:
    sites.away = {"site_b"}
    teacher = {"w": torch.ones(2)}
    sent = TeacherBroadcast(flow, plan, public, teacher, ["site_a", "site_b"])
    assert sent.ready() == ("site_a",)
    sites.away = set()
    assert sent.ready() == ("site_a", "site_b")
    assert sent.ready() == ("site_a", "site_b")
    assert [asked for _, asked, _ in flow.asked] == [("site_a", "site_b"), ("site_b",), ("site_b",)]
    assert all(request.tensors["w"].dtype == torch.float16 for _, _, request in flow.asked)
    resumed = TeacherBroadcast(flow, plan, public, teacher, ["site_a", "site_b"])
    assert len(flow.asked) == 3, "what was broadcast is known after a restart"
    assert resumed.ready()[0] == "site_a"


def test_the_labels_alone_get_as_many_steps_as_they_are_given(
    flow: Any, plan: FederationPlan, public: PublicSet
) -> None:
    """Six images in batches of four: two steps a pass; five steps need three passes."""
    weights = labels_only(flow, plan, public, 5)
    assert flow.record.data["budgets"]["labels_only"] == {"rounds": 3, "local_steps": 6}
    chosen = flow.record.data["selected"]["labels_only"]
    assert 1 <= chosen["round"] <= 3
    assert chosen["local_steps"] == 2 * chosen["round"]
    start, steps = start_global(flow, plan, public, 2)
    assert steps == 4
    assert start.keys() == weights.keys()


def test_the_teacher_travels_as_its_low_rank_updates_and_decoder(
    flow: Any, plan: FederationPlan, public: PublicSet
) -> None:
    tuned = tune_teacher(flow, plan, public)
    assert any("lora_B" in name for name in tuned)
    assert all(not name.startswith("image_encoder.") or "lora" in name for name in tuned)
    assert any(float(tensor.abs().max()) > 0 for name, tensor in tuned.items() if "lora_B" in name), "it learned"
    assert "random start" in flow.record.data["teacher"]["foundation"]


def test_tuned_in_full_it_travels_whole(flow: Any, plan: FederationPlan, public: PublicSet) -> None:
    whole = replace(plan, settings=replace(plan.settings, teacher=replace(plan.settings.teacher, tune="full")))
    assert (teacher_kind(plan), teacher_kind(whole)) == ("low_rank", "teacher")
    tuned = tune_teacher(flow, whole, public)
    assert tuned.keys() == plan.teacher_network().state_dict().keys()
    TeacherBroadcast(flow, whole, public, tuned, ["site_a"])
    assert flow.asked[-1][2].info["kind"] == "teacher"
    assert flow.asked[-1][2].info["foundation"] is None


def test_the_label_site_trains_nothing(flow: Any) -> None:
    flow.sources = ["site_a", "site_b", "site_c"]
    assert unlabelled_sites(flow, "site_a") == ["site_b", "site_c"]
    assert unlabelled_sites(flow, "") == flow.sources
    with pytest.raises(ConfigError, match="site_z"):
        unlabelled_sites(flow, "site_z")
    flow.sources = ["site_a", "site_b"]
    with pytest.raises(ConfigError, match="min_sites is 2"):
        unlabelled_sites(flow, "site_a")


def test_own_bundles(plan: FederationPlan) -> None:
    assert site_network_specs(plan, SamFedConfig(), ["site_a"]) == {}
    named = SamFedConfig(site_bundles={"site_a": "light_flexible_unet_segmentation"})
    specs = site_network_specs(plan, named, ["site_a", "site_b"])
    assert specs["site_a"]["bundle"] == "light_flexible_unet_segmentation"
    assert specs["site_b"]["bundle"] == plan.light_spec["bundle"]
    assert specs["site_a"]["overrides"]["image_size"] == [32, 32]
    with pytest.raises(ConfigError, match="site_z"):
        site_network_specs(plan, SamFedConfig(site_bundles={"site_z": "light_unet_segmentation"}), ["site_a"])
    with pytest.raises(ConfigError):
        site_network_specs(plan, SamFedConfig(site_bundles={"site_a": "no_such_bundle"}), ["site_a"])


def test_the_store_says_who_has_labelled(flow: Any, plan: FederationPlan, public: PublicSet) -> None:
    TeacherBroadcast(flow, plan, public, {"w": torch.ones(1)}, ["site_a"])
    assert read_json(flow.folder / "store" / "broadcast teacher.json")["info"]["sites"] == {"site_a": 0.9}


def test_sam_is_heard_as_long_as_it_is_no_worse_than_the_global_network(flow: Any) -> None:
    """SAM has 0.7 on the public validation part: the start has 0.6, rounds 1, 2 and 3 reach 0.7, 0.71 and 0.8."""
    flow.store.put("public start", {"validation_dice": 0.6})
    flow.store.put("tune teacher", {"validation_dice": 0.7})
    state, found = TrainingState({}), []
    for number, dice in enumerate((None, None, 0.7, 0.71)):
        if dice is not None:
            state.curve[-1]["validation"] = {"public": dice}
        state.round = number
        state.curve += [{"round": number, "validation": {}}] if number else []
        found.append(rounds_with_teacher(flow, state))
    assert found[-1] == [True, True, True, False]
    assert [heard[-1] for heard in found] == found[-1], "what was said in a round stays true"
    state.curve[-1]["validation"] = {"public": 0.8}
    assert rounds_with_teacher(flow, state)[:3] == [True, True, True]
