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
from dsfedmed.federated.party.branch_privacy import BranchRule
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.party.generator_base import CACHE
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.generators import (
    fit_base,
    fit_branches,
    frozen_base,
    stored_branch,
    stored_masks,
    trains_base,
)
from dsfedmed.federated.server.stages.synthetic_set import FOLDER, synthesise
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.generator import BaseReply, BaseRequest
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import BASE
from dsfedmed.generator.networks.embedded import build_base
from dsfedmed.seeds import derive_seed
from dsfedmed.settings import Settings
from dsfedmed.store.files import file_sha256
from tests.federated.tiny import BUNDLES, SITES, FakeRun, tiny_plan, tiny_settings
from tests.generator.sd_folders import make_tiny_folder

EMBEDDED: dict[str, Any] = {"sampler_steps": 2, "batch_size": 4}
STABLE_DIFFUSION: dict[str, Any] = {
    "base": "stable_diffusion",
    "prompt": "a scan",
    "lora_rank": 2,
    "zero_rank": 2,
    **EMBEDDED,
}


class Federation(FakeRun):
    """The server, with real sites behind it; a site in ``absent`` does not answer."""

    def __init__(
        self, folder: Path, settings: Settings, parties: dict[str, SiteContext], generator: Path | None
    ) -> None:
        super().__init__(folder, settings, self._do)
        self.parties, self.absent, self.failed = parties, set[str](), dict[str, str]()
        self.config = replace(self.config, generator=generator)
        self.spoil: Callable[[Envelope[Any]], Envelope[Any]] = lambda reply: reply

    def _do(self, name: str, task: Task[Any, Any], request: Envelope[Any]) -> Envelope[Any] | None:
        if name in self.absent:
            return None
        site_module._datalist.cache_clear()
        try:
            reply = task.load()(self.parties[name], request)
        except DSFedMedError as error:
            self.failed[name] = self.parties[name].public_error(error).reason
            return None
        return self.spoil(reply)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    make_demo_sites(folder, 0, SITES, training=5, validation=2, test=2)
    return folder


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_folder(tmp_path_factory.mktemp("sd") / "tiny")


def _federation(
    folder: Path, images: Path, generator: Path | None, model: dict[str, Any]
) -> tuple[Federation, FederationPlan]:
    settings = tiny_settings(
        generator={"branch_steps": 2}, generator_model=model, synthetic={"per_site": 3, "shard_size": 4}
    )
    parties = {
        name: SiteContext(
            name, PartyConfig(data=images / name, bundles=BUNDLES, generator=generator), folder / "sites" / name
        )
        for name in SITES
    }
    return Federation(folder, settings, parties, generator), tiny_plan(settings)


def _base(plan: FederationPlan) -> dict[str, torch.Tensor]:
    return dict(build_base(plan.generator, 1).state_dict()) if plan.generator.is_embedded else {}


@pytest.mark.parametrize("model", [EMBEDDED, STABLE_DIFFUSION], ids=["embedded", "stable diffusion"])
def test_branches_go_to_the_store_one_by_one_and_make_the_set(
    tmp_path: Path, images: Path, sd: Path, model: dict[str, Any]
) -> None:
    run, plan = _federation(tmp_path, images, sd, model)
    base = _base(plan)
    sites = fit_branches(run, plan, base)
    assert sites == list(SITES)
    branches = [stored_branch(run.store, site) for site in sites]
    assert branches[0].keys() == branches[1].keys()
    assert any(not torch.equal(branches[0][name], branches[1][name]) for name in branches[0])
    assert any("lora_A" in name for name in branches[0]) is not plan.generator.is_embedded
    assert stored_masks(run.store, "site_a").shape == (3, 1, 32, 32)
    manifest = synthesise(run, plan, base, sites)
    made = SyntheticSet.open(tmp_path / FOLDER, manifest)
    assert made.origin == ("site_a",) * 3 + ("site_b",) * 3
    assert [shard.count for shard in manifest.shards] == [4, 2]
    assert torch.equal(made.labels([3, 4, 5]), stored_masks(run.store, "site_b"))
    assert not torch.equal(made.images([0]), made.images([3]))


def test_stable_diffusion_has_no_stage_for_a_base_and_sends_none(tmp_path: Path, images: Path, sd: Path) -> None:
    run, plan = _federation(tmp_path, images, sd, STABLE_DIFFUSION)
    assert "fit base" not in DSFedMed.stages(run.settings)
    assert "fit base" in DSFedMed.stages(tiny_settings())
    before = {path: file_sha256(path) for path in sd.rglob("*") if path.is_file()}
    base = frozen_base(run, plan)
    assert base == {}
    fit_branches(run, plan, base)
    task, _, request = run.asked[0]
    assert task == "dsf_branch"
    assert request.tensors == {}
    assert len(request.body.generator_base) == 64
    assert (tmp_path / CACHE).exists(), "the hash is remembered in the party's own folder"
    assert {path: file_sha256(path) for path in sd.rglob("*") if path.is_file()} == before


def test_site_with_another_folder_refuses_and_the_set_is_made_without_it(
    tmp_path: Path, images: Path, sd: Path
) -> None:
    run, plan = _federation(tmp_path, images, sd, STABLE_DIFFUSION)
    other = make_tiny_folder(tmp_path / "other", seed=1)
    run.parties["site_b"].config = replace(run.parties["site_b"].config, generator=other)
    assert fit_branches(run, plan, {}) == ["site_a"]
    assert "another than the server's" in run.failed["site_b"]
    assert str(other) not in run.failed["site_b"]


def test_party_without_a_folder_says_what_to_write(tmp_path: Path, images: Path, sd: Path) -> None:
    run, plan = _federation(tmp_path, images, sd, STABLE_DIFFUSION)
    run.parties["site_b"].config = replace(run.parties["site_b"].config, generator=None)
    fit_branches(run, plan, {})
    assert run.failed["site_b"] == "`generator` is not set"
    broken = shutil.copytree(sd, tmp_path / "broken")
    shutil.rmtree(broken / "vae")
    run.config = replace(run.config, generator=broken)
    with pytest.raises(ConfigError, match="no vae/"):
        synthesise(run, plan, {}, ["site_a"])


def test_killed_run_asks_only_the_sites_that_are_missing(tmp_path: Path, images: Path, sd: Path) -> None:
    run, plan = _federation(tmp_path, images, sd, STABLE_DIFFUSION)
    run.absent = {"site_b"}
    assert fit_branches(run, plan, {}) == ["site_a"]
    first = (tmp_path / "store" / "branch-site_a.safetensors").stat().st_mtime_ns
    # Killed before the stage was done: its entry is not there, the branch that arrived is.
    run.store.drop("fit branches")
    run.absent, run.asked = set(), []
    assert fit_branches(run, plan, {}) == list(SITES)
    assert [(task, sites) for task, sites, _ in run.asked] == [("dsf_branch", ("site_b",)), ("dsf_masks", ("site_b",))]
    assert (tmp_path / "store" / "branch-site_a.safetensors").stat().st_mtime_ns == first


def test_branch_of_other_shapes_is_refused(tmp_path: Path, images: Path, sd: Path) -> None:
    run, plan = _federation(tmp_path, images, sd, STABLE_DIFFUSION)
    run.spoil = lambda reply: replace(reply, tensors={name: t.flatten()[:1] for name, t in reply.tensors.items()})
    with pytest.raises(PayloadError, match="announced was"):
        fit_branches(run, plan, {})
    assert not run.store.has("branch-site_a")


def test_more_masks_than_asked_for_are_refused(tmp_path: Path, images: Path, sd: Path) -> None:
    """Three a site are asked for; what comes with the request for masks has seven."""
    run, plan = _federation(tmp_path, images, sd, STABLE_DIFFUSION)
    others, _ = _federation(tmp_path / "others", images, sd, STABLE_DIFFUSION)

    def greedy(name: str, task: Task[Any, Any], request: Envelope[Any]) -> Envelope[Any] | None:
        more = task.name == "dsf_masks"
        return others._do(name, task, replace(request, body=replace(request.body, count=7)) if more else request)

    run.answer = greedy
    with pytest.raises(PayloadError, match="site_a: sent more masks than asked for"):
        fit_branches(run, plan, {})
    assert not run.store.has("masks-site_a")


class Bases:
    """Sites whose update of the base is +1 (site_a, 4 images) and +5 (site_b, 12 images): the mean is +4."""

    def __init__(self) -> None:
        self.asked: list[BaseRequest] = []
        self.late = 0

    def __call__(self, site: str, task: Task[Any, Any], request: Envelope[BaseRequest]) -> Envelope[BaseReply]:
        assert task is BASE
        self.asked.append(request.body)
        step = 1.0 if site == "site_a" else 5.0
        update = {name: torch.full_like(tensor, step) for name, tensor in request.tensors.items()}
        return Envelope(BaseReply(request.body.round + self.late, 0.5), update, True)


def _trained_base(folder: Path, sites: Bases, rounds: int) -> tuple[FakeRun, dict[str, torch.Tensor]]:
    settings = tiny_settings(generator={"base_rounds": rounds, "base_steps": 7}, light={"precision": "fp32"})
    run = FakeRun(folder, settings, sites)
    return run, fit_base(run, tiny_plan(settings))  # type: ignore[arg-type]


def test_the_base_is_averaged_round_by_round(tmp_path: Path) -> None:
    """(4 * 1 + 12 * 5) / 16 = 4 a round; the steps of the learning rate's course count over both rounds."""
    sites = Bases()
    run, trained = _trained_base(tmp_path, sites, 2)
    start = build_base(tiny_plan(run.settings).generator, derive_seed(0, "base")).state_dict()
    assert trained.keys() == start.keys()
    assert all(torch.allclose(trained[name], tensor + 8.0) for name, tensor in start.items())
    assert [(body.round, body.steps, body.first_step, body.total_steps) for body in sites.asked[::2]] == [
        (1, 7, 0, 14), (2, 7, 7, 14),
    ]  # fmt: skip
    assert run.tracked == [("generator/base_loss", 0.5, 1), ("generator/base_loss", 0.5, 2)]
    assert [path.stem for path in (tmp_path / "store").glob("base-*.json")] == [], (
        "rounds that are replaced are dropped"
    )


def test_a_base_that_was_killed_goes_on_behind_its_last_round(tmp_path: Path) -> None:
    """Killed in round 2: round 1 is in the store, and only round 2 is asked of the sites."""
    whole = _trained_base(tmp_path / "whole", Bases(), 2)[1]
    killed = Bases()

    def die(site: str, task: Task[Any, Any], request: Envelope[BaseRequest]) -> Envelope[BaseReply]:
        if request.body.round == 2:
            raise KeyboardInterrupt
        return killed(site, task, request)

    with pytest.raises(KeyboardInterrupt):
        _trained_base(tmp_path / "killed", die, 2)  # type: ignore[arg-type]
    sites = Bases()
    _, again = _trained_base(tmp_path / "killed", sites, 2)
    assert {body.round for body in sites.asked} == {2}
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())
    finished = Bases()
    _trained_base(tmp_path / "killed", finished, 2)
    assert finished.asked == []


def test_a_base_of_another_round_is_refused(tmp_path: Path) -> None:
    sites = Bases()
    sites.late = 1
    with pytest.raises(PayloadError, match="site_a: answered round 2 instead of 1"):
        _trained_base(tmp_path, sites, 1)


def test_only_the_embedded_base_is_trained() -> None:
    assert trains_base(tiny_settings())
    assert not trains_base(tiny_settings(generator_model=STABLE_DIFFUSION))
    given = tiny_settings(generator={"base": "given"})
    assert not trains_base(given)
    assert "fit base" not in DSFedMed.stages(given)


def test_a_private_branch_is_recorded_as_stated_and_has_no_loss(tmp_path: Path, images: Path, sd: Path) -> None:
    """site_b insists on it in its own configuration; site_a does not."""
    run, plan = _federation(tmp_path, images, sd, EMBEDDED)
    own = run.parties["site_b"]
    rule = replace(own.config, branch_privacy=BranchRule(3.0), branch_account=tmp_path / "account.json")
    run.parties["site_b"] = SiteContext("site_b", rule, own.folder)
    fit_branches(run, plan, _base(plan))
    stated = run.record.data["branch_privacy"]
    assert stated.keys() == {"site_b"}
    assert (stated["site_b"]["unit"], stated["site_b"]["branches"]) == ("patient", 1)
    assert stated["site_b"]["epsilon"] <= 3
    losses = [run.store.get(f"branch-{site}").info["loss"] for site in SITES]
    assert losses[0] > 0
    assert losses[1] is None


def test_a_job_that_asks_for_privacy_gets_it_of_every_site(tmp_path: Path, images: Path, sd: Path) -> None:
    run, plan = _federation(tmp_path, images, sd, EMBEDDED)
    asked = replace(run.settings.generator, base="given", branch_epsilon=5.0)
    run.settings = replace(run.settings, generator=asked)
    for name, party in run.parties.items():
        account = replace(party.config, branch_account=tmp_path / f"{name}.json")
        run.parties[name] = SiteContext(name, account, party.folder)
    fit_branches(run, plan, _base(plan))
    assert run.record.data["branch_privacy"].keys() == set(SITES)
