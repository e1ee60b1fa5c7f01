# SPDX-License-Identifier: Apache-2.0
"""FedBN in this process: what the sites share and what they keep, the same bits again, and after an interruption.

Over NVFlare, to the same bits: ``tests/flare/test_parity.py``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.algorithms.local_layers import local_names
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed.exchange.tensors import Weights, under
from dsfedmed.federated.local import simulation
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.local.transport import LocalTransport
from dsfedmed.federated.methods.fedbn import FedBN
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.wire.message import Message
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.tasks import EVALUATE, LOCAL_LAYERS, TRAIN
from dsfedmed.settings import Settings, merge, read_preset
from dsfedmed.store.files import read_json, read_tensors
from tests.federated.tiny import BUNDLES, ROOT, tiny_plan
from tests.runs.local import without_pictures

SOURCES = ("site_a", "site_b", "site_c")
Exchange = tuple[str, str, Message, Message]
"""Site, task, request and reply."""


@dataclass(frozen=True)
class Run:
    """A run folder, and every message of it."""

    folder: Path
    messages: list[Exchange]

    def stored(self, stage: str) -> Weights:
        return read_tensors(self.folder / "store" / read_json(self.folder / "store" / f"{stage}.json")["file"])

    def kept(self, site: str, name: str) -> Weights:
        return read_tensors(self.folder / "sites" / site / "local_layers" / f"{name}.safetensors")

    def of_task(self, task: str) -> list[Exchange]:
        return [exchange for exchange in self.messages if exchange[1] == task]


def smoke(**changes: Any) -> Settings:
    """The smoke preset with one site held out and more steps than one a round."""
    values = read_preset(ROOT / "jobs" / "fedbn" / "presets" / "smoke.yaml")
    tiny = {"unseen": ["site_d"], "light": {"batch_size": 3, "epochs_per_round": 2}}
    return Settings.from_dict(merge(merge(values, tiny), changes))


def run_in(
    folder: Path, sites: Path, settings: Settings, before: Callable[[list[Exchange]], None] | None = None
) -> Run:
    """Run in this process and record every message; ``before`` each is called with those so far."""
    messages: list[Exchange] = []

    class Recording(LocalTransport):
        def _ask(self, site: str, task: str, request: Message) -> tuple[Message, int]:
            if before:
                before(messages)
            reply, fetched = super()._ask(site, task, request)
            messages.append((site, task, request, reply))
            return reply, fetched

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "LocalTransport", Recording)
        without_pictures(patch)
        verdict = simulate_locally("fedbn", settings, SimulatedSites(sites, folder, BUNDLES))
    assert verdict == "complete"
    return Run(folder, messages)


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fedbn") / "sites"
    make_demo_sites(folder, seed=0, training=8, validation=4, test=2)
    return folder


@pytest.fixture(scope="module")
def run(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_in(tmp_path_factory.mktemp("run"), sites, smoke())


@pytest.fixture(scope="module")
def start() -> Weights:
    """The network that every method starts from."""
    return dict(tiny_plan(smoke()).light_network().state_dict())


@pytest.fixture(scope="module")
def local() -> frozenset[str]:
    """What stays at the sites: scale and shift of every instance normalisation of the U-Net."""
    return local_names(tiny_plan(smoke()).light_network())


def test_no_round_speaks_of_normalisation(run: Run, start: Weights, local: frozenset[str]) -> None:
    shared = start.keys() - local
    rounds = run.of_task(LOCAL_LAYERS.name)
    tried = 1 + 2  # the mean of all, and those without each of the two others
    assert len(rounds) == 3 * (3 + tried + 1), "of three sites: three rounds, a trial, one validation"
    for _, _, request, reply in rounds:
        assert {name.removeprefix(WEIGHTS) for name in request.tensors} == shared
        assert set(reply.tensors) in (shared, set())


def test_no_message_holds_a_sites_normalisation(run: Run, start: Weights, local: frozenset[str]) -> None:
    """What is sent to be scored has that of the start, and no tensor of any message has a value that a site keeps."""
    scored = [
        request.tensors
        for _, _, request, _ in run.of_task(EVALUATE.name)
        if "fedbn" in request.info["body"]["networks"]
    ]
    assert len(scored) == 4, "every site, the unseen one as well"
    for tensors in scored:
        assert all(torch.equal(tensors[f"fedbn/{name}"].float(), start[name]) for name in local)
    sent = defaultdict(list)
    for tensor in (x for _, _, *pair in run.messages for message in pair for x in message.tensors.values()):
        sent[tensor.shape].append(tensor.float())
    for site in SOURCES:
        for number in (1, 2, 3):
            for name, tensor in run.kept(site, f"fedbn-{number:04d}").items():
                assert sent[tensor.shape], "the start's, at least"
                everything = torch.stack(sent[tensor.shape])
                for secret in (tensor, tensor - start[name]) if tensor.numel() > 8 else ():  # fewer agree by chance
                    near = torch.isclose(everything, secret.expand_as(everything), rtol=1e-3, atol=1e-6)
                    assert not bool(near.flatten(1).all(dim=1).any())


def test_the_sites_networks_differ_in_their_normalisation_alone(sites: Path, tmp_path: Path) -> None:
    """After one round every site has one network to choose from: the mean of all, with its own normalisation."""
    run = run_in(tmp_path, sites, smoke(rounds=1, compare={"fedavg": False}))
    networks = {site: run.kept(site, "fedbn-best") for site in SOURCES}
    local = set(run.kept("site_a", "fedbn-0001"))
    for one, other in (("site_a", "site_b"), ("site_b", "site_c"), ("site_a", "site_c")):
        pair = networks[one], networks[other]
        assert {name for name in pair[0] if not torch.equal(pair[0][name], pair[1][name])} == local
    weights = under(run.stored("training-fedbn"), "weights/")
    received = {name: tensor.half().float() for name, tensor in weights.items()}
    assert same(received, {name: networks["site_a"][name] for name in networks["site_a"].keys() - local})


def test_each_site_is_scored_with_its_own_network_and_the_unseen_one_with_the_servers(
    run: Run, start: Weights, local: frozenset[str]
) -> None:
    cases = read_json(run.folder / "record.json")["cases"]
    assert set(cases) == {"fedbn", "fedbn_shared", "fedavg"}
    assert all(cases["fedbn"][site] != cases["fedbn_shared"][site] for site in SOURCES)
    assert cases["fedbn"]["site_d"] == cases["fedbn_shared"]["site_d"]
    assert not (run.folder / "sites" / "site_d" / "local_layers").exists()
    released = torch.load(run.folder / "release" / "models" / "model.pt", weights_only=True)
    assert same({name: released[name] for name in local}, {name: start[name] for name in local})
    best = under(run.stored("training-fedbn"), "best/")
    assert same({name: released[name] for name in best}, best)


def test_each_site_has_its_own_network_as_a_bundle(run: Run) -> None:
    for site in SOURCES:
        own = run.folder / "sites" / site / "local_layers" / "release"
        assert same(torch.load(own / "models" / "model.pt", weights_only=True), run.kept(site, "fedbn-best"))
        assert "own site" in (own / "docs" / "README.md").read_text()


def test_the_report_sets_it_beside_fedavg_at_equal_rounds(run: Run) -> None:
    results = read_json(run.folder / "results.json")
    assert results["missing"] == []
    compared = results["comparisons"]["equal_rounds"]
    assert compared["baseline"] == "fedavg" if compared else results["untrained"], "rounds no better than the start"
    assert set(read_json(run.folder / "record.json")["selected"]) == {"fedbn", "fedavg"}


def test_the_same_bits_again_and_after_the_server_and_every_site_were_stopped(
    run: Run, sites: Path, tmp_path: Path
) -> None:
    """Without the comparison, which changes nothing; the second round is cut off after its first site."""
    settings, alone = smoke(compare={"fedavg": False}), []

    def stop(messages: list[Exchange]) -> None:
        alone[:] = [exchange for exchange in messages if exchange[1] == LOCAL_LAYERS.name]
        if len(alone) == 4:
            raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError, match="the power fails"):
        run_in(tmp_path, sites, settings, stop)
    assert [site for site, *_ in alone] == [*SOURCES, "site_a"]
    resumed = run_in(tmp_path, sites, settings)
    assert same(resumed.stored("training-fedbn"), run.stored("training-fedbn"))
    for site in SOURCES:
        files = sorted(path.stem for path in (run.folder / "sites" / site / "local_layers").glob("*.safetensors"))
        assert files == ["fedbn-0001", "fedbn-0002", "fedbn-0003", "fedbn-best"]
        assert all(same(resumed.kept(site, name), run.kept(site, name)) for name in files)
    ours, theirs = (read_json(folder / "record.json")["cases"] for folder in (resumed.folder, run.folder))
    assert ours == {name: theirs[name] for name in ("fedbn", "fedbn_shared")}


def test_eight_bit_differences_leave_the_normalisation_at_home_too(sites: Path, tmp_path: Path) -> None:
    eight_bit = smoke(rounds=2, light={"precision": "int8"}, compare={"fedavg": False})
    run = run_in(tmp_path, sites, eight_bit)
    shared = under(run.stored("training-fedbn"), "reference/")
    assert shared
    assert not shared.keys() & run.kept("site_a", "fedbn-0002").keys()
    networks = [run.kept(site, "fedbn-best") for site in SOURCES]
    assert all(networks[0].keys() == network.keys() == shared.keys() | run.kept("site_a", "fedbn-0002").keys()
               for network in networks)  # fmt: skip


def test_start_weights_that_the_sites_do_not_have_are_refused(sites: Path, tmp_path: Path, run: Run) -> None:
    layout = SimulatedSites(sites, tmp_path, BUNDLES, light_weights=run.folder / "release" / "models" / "model.pt")
    assert simulate_locally("fedbn", smoke(), layout).startswith("incomplete: light_weights")


def test_a_network_without_such_layers_is_refused(sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsfedmed.federated.methods.fedbn.local_names", lambda _: frozenset())
    assert simulate_locally("fedbn", smoke(), SimulatedSites(sites, tmp_path, BUNDLES)).startswith(
        "incomplete: light.bundle"
    )


def test_the_method_has_no_options() -> None:
    with pytest.raises(ConfigError, match="fedbn has no options"):
        FedBN(smoke(method={"rate": 1}))


def test_its_job_packs_its_updates_and_those_of_fedavg() -> None:
    assert FedBN.UPDATES == (LOCAL_LAYERS, TRAIN)
