# SPDX-License-Identifier: Apache-2.0
"""From branches to the synthetic set, with real sites in this process: what is sent, kept, refused and done again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.errors import ConfigError, DSFedMedError, PayloadError
from dsfedmed.federated.methods.dsfedmed import DSFedMed
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.party.generator_base import CACHE
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.generators import fit_branches, frozen_base, stored_branch, stored_masks
from dsfedmed.federated.server.stages.synthetic_set import FOLDER, synthesise
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks import TASKS
from dsfedmed.federated.wire.message import Message
from dsfedmed.generator.diffusion import build_base
from dsfedmed.settings import Settings
from dsfedmed.store.files import file_sha256
from dsfedmed.store.stage_store import StageResult
from tests.federated.tiny import BUNDLES, SITES, FakeFlow, FakeProgress, tiny_plan, tiny_settings
from tests.generator.sd_folders import make_tiny_folder

EMBEDDED: dict[str, Any] = {"sampler_steps": 2, "batch_size": 4}
STABLE_DIFFUSION: dict[str, Any] = {
    "base": "stable_diffusion",
    "prompt": "a scan",
    "lora_rank": 2,
    "zero_rank": 2,
    **EMBEDDED,
}


class Progress(FakeProgress):
    def site(self, site: str, text: str) -> None:
        self.lines.append(f"{site} {text}")


class Flow(FakeFlow):
    """The server, with real sites behind it; a site in ``absent`` does not answer."""

    def __init__(
        self, folder: Path, settings: Settings, parties: dict[str, SiteContext], generator: Path | None
    ) -> None:
        super().__init__(folder, settings, self._do)
        self.parties, self.absent, self.failed = parties, set[str](), dict[str, str]()
        self.config = replace(self.config, generator=generator)
        self.progress: Progress = Progress()
        self.spoil: Callable[[Message], Message] = lambda reply: reply

    def once(self, name: str, make: Callable[[], StageResult]) -> StageResult:
        if not self.store.has(name):
            result = make()
            self.store.put(name, result.info, result.tensors)
        return self.store.get(name)

    def _do(self, name: str, task: str, request: Message) -> Message | None:
        if name in self.absent:
            return None
        site_module._datalist.cache_clear()
        try:
            reply = TASKS[task](self.parties[name], request)
        except DSFedMedError as error:
            self.failed[name] = self.parties[name].public_error(error)["reason"]
            return None
        return self.spoil(Message({**reply.info, "seconds": 0.0}, reply.tensors))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    make_demo_sites(folder, 0, SITES, training=5, validation=2, test=2)
    return folder


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_folder(tmp_path_factory.mktemp("sd") / "tiny")


def _flow(folder: Path, images: Path, generator: Path | None, model: dict[str, Any]) -> tuple[Flow, FederationPlan]:
    settings = tiny_settings(
        generator={"branch_steps": 2}, generator_model=model, synthetic={"per_site": 3, "shard_size": 4}
    )
    parties = {
        name: SiteContext(
            name, PartyConfig(data=images / name, bundles=BUNDLES, generator=generator), folder / "sites" / name
        )
        for name in SITES
    }
    return Flow(folder, settings, parties, generator), tiny_plan(settings)


def _base(plan: FederationPlan) -> dict[str, torch.Tensor]:
    return dict(build_base(plan.generator, 1).state_dict()) if plan.generator.is_embedded else {}


@pytest.mark.parametrize("model", [EMBEDDED, STABLE_DIFFUSION], ids=["embedded", "stable diffusion"])
def test_branches_go_to_the_store_one_by_one_and_make_the_set(
    tmp_path: Path, images: Path, sd: Path, model: dict[str, Any]
) -> None:
    flow, plan = _flow(tmp_path, images, sd, model)
    base = _base(plan)
    sites = fit_branches(flow, plan, base)
    assert sites == list(SITES)
    branches = [stored_branch(flow.store, site) for site in sites]
    assert branches[0].keys() == branches[1].keys()
    assert any(not torch.equal(branches[0][name], branches[1][name]) for name in branches[0])
    assert any("lora_A" in name for name in branches[0]) is not plan.generator.is_embedded
    assert stored_masks(flow.store, "site_a").shape == (3, 1, 32, 32)
    manifest = synthesise(flow, plan, base, sites)
    made = SyntheticSet.open(tmp_path / FOLDER, manifest)
    assert made.origin == ("site_a",) * 3 + ("site_b",) * 3
    assert [shard.count for shard in manifest.shards] == [4, 2]
    assert torch.equal(made.labels([3, 4, 5]), stored_masks(flow.store, "site_b"))
    assert not torch.equal(made.images([0]), made.images([3]))


def test_stable_diffusion_has_no_stage_for_a_base_and_sends_none(tmp_path: Path, images: Path, sd: Path) -> None:
    flow, plan = _flow(tmp_path, images, sd, STABLE_DIFFUSION)
    assert "fit base" not in DSFedMed.stages(flow.settings)
    assert "fit base" in DSFedMed.stages(tiny_settings())
    before = {path: file_sha256(path) for path in sd.rglob("*") if path.is_file()}
    base = frozen_base(flow, plan)
    assert base == {}
    fit_branches(flow, plan, base)
    task, _, request = flow.asked[0]
    assert task == "dsf_branch"
    assert request.tensors == {}
    assert len(request.info["foundation"]) == 64
    assert (tmp_path / CACHE).exists(), "the hash is remembered in the party's own folder"
    assert {path: file_sha256(path) for path in sd.rglob("*") if path.is_file()} == before


def test_site_with_another_folder_refuses_and_the_set_is_made_without_it(
    tmp_path: Path, images: Path, sd: Path
) -> None:
    flow, plan = _flow(tmp_path, images, sd, STABLE_DIFFUSION)
    other = make_tiny_folder(tmp_path / "other", seed=1)
    flow.parties["site_b"].config = replace(flow.parties["site_b"].config, generator=other)
    assert fit_branches(flow, plan, {}) == ["site_a"]
    assert "another than the server's" in flow.failed["site_b"]
    assert str(other) not in flow.failed["site_b"]


def test_party_without_a_folder_says_what_to_write(tmp_path: Path, images: Path, sd: Path) -> None:
    flow, plan = _flow(tmp_path, images, sd, STABLE_DIFFUSION)
    flow.parties["site_b"].config = replace(flow.parties["site_b"].config, generator=None)
    fit_branches(flow, plan, {})
    assert flow.failed["site_b"] == "`generator` is not set"
    broken = shutil.copytree(sd, tmp_path / "broken")
    shutil.rmtree(broken / "vae")
    flow.config = replace(flow.config, generator=broken)
    with pytest.raises(ConfigError, match="no vae/"):
        synthesise(flow, plan, {}, ["site_a"])


def test_killed_run_asks_only_the_sites_that_are_missing(tmp_path: Path, images: Path, sd: Path) -> None:
    flow, plan = _flow(tmp_path, images, sd, STABLE_DIFFUSION)
    flow.absent = {"site_b"}
    assert fit_branches(flow, plan, {}) == ["site_a"]
    first = (tmp_path / "store" / "branch-site_a.safetensors").stat().st_mtime_ns
    # Killed before the stage was done: its entry is not there, the branch that arrived is.
    flow.store.drop("fit branches")
    flow.absent, flow.asked = set(), []
    assert fit_branches(flow, plan, {}) == list(SITES)
    assert [(task, sites) for task, sites, _ in flow.asked] == [("dsf_branch", ("site_b",)), ("dsf_masks", ("site_b",))]
    assert (tmp_path / "store" / "branch-site_a.safetensors").stat().st_mtime_ns == first


def test_branch_of_other_shapes_is_refused(tmp_path: Path, images: Path, sd: Path) -> None:
    flow, plan = _flow(tmp_path, images, sd, STABLE_DIFFUSION)
    flow.spoil = lambda reply: Message(reply.info, {name: t.flatten()[:1] for name, t in reply.tensors.items()})
    with pytest.raises(PayloadError, match="announced was"):
        fit_branches(flow, plan, {})
    assert not flow.store.has("branch-site_a")
