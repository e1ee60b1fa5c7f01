# SPDX-License-Identifier: Apache-2.0
"""Methods of others as whole federations in this process: what travels, what stays, and what is scored and released.

Their rounds by hand: ``tests/algorithms/drift`` and ``tests/federated/site/tasks/baselines``. Over NVFlare, to the same
bits: ``tests/flare/test_parity.py``.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import nn

from dsfedmed.algorithms.drift.control_variates import CONTROL
from dsfedmed.algorithms.drift.server_optimizers import FIRST, SECOND
from dsfedmed.algorithms.representation import head_names
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed.exchange.tensors import Weights, under
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.store.files import read_json, read_tensors
from tests.federated.tiny import BUNDLES, tiny_plan
from tests.runs.local import run_in_process
from tests.runs.recording import Recording
from tests.runs.smoke import smoke

SOURCES = ("site_a", "site_b", "site_c")


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baselines") / "sites"
    make_demo_sites(folder, seed=0, training=6, validation=3, test=2)
    return folder


def run(key: str, sites: Path, folder: Path, **changes: Any) -> Recording:
    """Two rounds at a rate at which something moves, without a comparison."""
    base: dict[str, Any] = {"rounds": 2, "compare": {"fedavg": False}, "robust": {"trials": False}}
    return run_in_process(key, smoke(key, **{**base, **changes}), sites, folder, send_amplitudes=key == "feddg")


def stored(run: Recording, stage: str) -> Weights:
    return read_tensors(run.run / "store" / read_json(run.run / "store" / f"{stage}.json")["file"])


def released(run: Recording) -> Weights:
    weights: Weights = torch.load(run.run / "release" / "models" / "model.pt", weights_only=True)
    return weights


def cases(run: Recording) -> dict[str, Any]:
    found: dict[str, Any] = read_json(run.run / "record.json")["cases"]
    return found


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_the_servers_memory_lasts_from_round_to_round_and_does_not_travel(sites: Path, tmp_path: Path) -> None:
    done = run("fedyogi", sites, tmp_path)
    kept = under(stored(done, "training-fedyogi"), "optimizer/")
    weights = under(stored(done, "training-fedyogi"), "weights/")
    assert set(kept) == {part + name for part in (FIRST, SECOND) for name in weights}
    assert any(bool(tensor.abs().max() > 0) for tensor in kept.values())
    assert set(done.tensors("site_a", "dsf_train")[0]) == set(weights)


def test_scaffolds_controls_travel_beside_the_weights_and_are_not_released(sites: Path, tmp_path: Path) -> None:
    done = run("scaffold", sites, tmp_path)
    state = under(stored(done, "training-scaffold"), "weights/")
    controls = {name for name in state if name.startswith(CONTROL)}
    assert {name.removeprefix(CONTROL) for name in controls} <= state.keys() - controls
    assert set(done.tensors("site_a", "dsf_controlled")[0]) == set(state)
    assert not any(name.startswith(CONTROL) for name in released(done))
    own = [read_tensors(done.run / "sites" / site / "controlled" / "scaffold-0002.safetensors") for site in SOURCES]
    for name in controls:
        mean = torch.stack([each[name] for each in own]).mean(0)
        torch.testing.assert_close(state[name], mean, rtol=0.01, atol=1e-4)  # half precision on the wire


def test_moon_keeps_the_last_network_at_its_site(sites: Path, tmp_path: Path) -> None:
    done = run("moon", sites, tmp_path)
    files = {path.stem for path in (done.run / "sites" / "site_a" / "contrast").iterdir()}
    assert files == {"moon-0001", "moon-0002"}
    assert set(cases(done)) == {"moon"}
    assert set(done.tensors("site_a", "dsf_contrast")[0]) == set(under(stored(done, "training-moon"), "weights/"))


def test_ditto_scores_each_site_with_its_own_network_and_releases_the_global_one(sites: Path, tmp_path: Path) -> None:
    done = run("ditto", sites, tmp_path, method={"pull": 0.01}, light_settings={"learning_rate": 0.05})
    assert set(cases(done)) == {"ditto", "ditto_global"}
    assert cases(done)["ditto"]["site_d"] == cases(done)["ditto_global"]["site_d"], "the unseen site has none"
    assert any(cases(done)["ditto"][site] != cases(done)["ditto_global"][site] for site in SOURCES)
    best = under(stored(done, "training-ditto"), "best/")
    assert same({name: released(done)[name] for name in best}, best)
    for site in SOURCES:
        folder = done.run / "sites" / site / "ditto"
        bundle = torch.load(folder / "release" / "models" / "model.pt", weights_only=True)
        assert same({name: bundle[name] for name in best}, read_tensors(folder / "ditto-best.safetensors"))


def test_fedrdns_sites_share_two_numbers_and_are_scored_under_their_own(sites: Path, tmp_path: Path) -> None:
    """The shared numbers are those of each site's images; the release is the network on images as they are."""
    done = run("fedrdn", sites, tmp_path, light_settings={"learning_rate": 0.05})
    told = read_json(done.run / "store" / "share statistics.json")["info"]
    assert set(told) == set(SOURCES)
    for site in SOURCES:
        (channel,) = told[site]["statistics"]
        look = read_json(done.run / "record.json")["facts"][site]["look"]
        assert channel["mean"] == pytest.approx(look["grey_mean"], abs=0.02)
        assert done.tensors(site, "dsf_statistics") == [{}]
    assert set(cases(done)) == {"fedrdn", "fedrdn_plain"}
    assert all(cases(done)["fedrdn"][site] != cases(done)["fedrdn_plain"][site] for site in (*SOURCES, "site_d"))
    best = under(stored(done, "training-fedrdn"), "best/")
    assert same({name: released(done)[name] for name in best}, best)


def test_feddgs_sites_share_the_band_that_was_asked_for_and_no_more(sites: Path, tmp_path: Path) -> None:
    """A tenth of 32 pixels is 3: seven frequencies each way, of three images, once; an unseen site is not asked."""
    done = run("feddg", sites, tmp_path, method={"images": 3}, rounds=1)
    for site in SOURCES:
        ((name, tensor),) = done.tensors(site, "dsf_amplitudes")[0].items()
        assert (name, tensor.shape) == ("amplitudes", (3, 1, 7, 7))
        (kept,) = (done.run / "sites" / site / "amplitudes").iterdir()
        assert set(read_tensors(kept)) == {f"amplitudes/{other}" for other in SOURCES}
        assert done.tensors(site, "dsf_keep_amplitudes") == [{}]
    assert done.tensors("site_d", "dsf_amplitudes") == []
    told = read_json(done.run / "store" / "exchange amplitudes.json")
    assert told["info"]["kept"] == kept.stem
    assert not told.get("file"), "the server keeps none"


def test_the_head_of_the_u_net_is_its_last_block() -> None:
    network = tiny_plan(smoke("fedrep")).light_network()
    tensors = [tensor for name, tensor in network.state_dict().items() if name in head_names(network)]
    assert [tuple(tensor.shape) for tensor in tensors] == [(32, 1, 3, 3), (1,), (1,), (1,), (1, 1, 3, 3), (1,)]


def test_fedreps_heads_stay_and_the_release_has_that_of_the_start(
    sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BundleDefinition, "network", with_statistics)
    done = run("fedrep", sites, tmp_path, light_settings={"learning_rate": 0.05})
    start = tiny_plan(smoke("fedrep")).light_network()
    head, best = head_names(start), under(stored(done, "training-fedrep"), "best/")
    assert head == {"3.weight", "3.bias"}
    travelling = {name for name, tensor in start.state_dict().items() if tensor.is_floating_point()} - head
    rounds = [tensors for site in SOURCES for tensors in done.tensors(site, "dsf_local_head")]
    assert rounds
    assert all(tensors.keys() in (travelling, set()) for tensors in rounds)
    assert set(cases(done)) == {"fedrep", "fedrep_shared"}
    assert cases(done)["fedrep"]["site_d"] == cases(done)["fedrep_shared"]["site_d"], "the unseen site has none"
    assert same(released(done), {**start.state_dict(), **best})
    heads = [read_tensors(done.run / "sites" / site / "local_layers" / "fedrep-0002.safetensors") for site in SOURCES]
    assert all(found.keys() == head for found in heads)
    assert not any(same(one, other) for one, other in zip(heads, [*heads[1:], heads[0]], strict=True))
    bundle = done.run / "sites" / "site_a" / "local_layers" / "release" / "models" / "model.pt"
    kept = read_tensors(done.run / "sites" / "site_a" / "local_layers" / "fedrep-best.safetensors")
    assert same(torch.load(bundle, weights_only=True), kept)


def test_silobn_is_refused_where_a_network_keeps_no_statistics(sites: Path, tmp_path: Path) -> None:
    verdict = simulate_locally("silobn", smoke("silobn"), SimulatedSites(sites, tmp_path, BUNDLES))
    assert verdict.startswith("incomplete: light.bundle: light_unet_segmentation keeps no batch statistics")


def test_silobns_statistics_stay_and_an_unseen_site_has_its_own(
    sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BundleDefinition, "network", with_statistics)
    done = run("silobn", sites, tmp_path, light_settings={"learning_rate": 0.05})
    travelling = {"0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"}
    rounds = [tensors for site in SOURCES for tensors in done.tensors(site, "dsf_local_statistics")]
    assert rounds
    assert all(tensors.keys() in (travelling, set()) for tensors in rounds)
    found = cases(done)
    assert all(found["silobn"][site] != found["silobn_shared"][site] for site in (*SOURCES, "site_d")), "own statistics"
    assert not (done.run / "sites" / "site_d" / "local_layers").exists()
    statistics = ("1.running_mean", "1.running_var")
    assert [released(done)[name].unique().tolist() for name in statistics] == [[0.0], [1.0]]
    kept = [read_tensors(done.run / "sites" / site / "local_layers" / "silobn-best.safetensors") for site in SOURCES]
    assert not any(torch.equal(kept[0][name], other[name]) for name in statistics for other in kept[1:])


def with_statistics(_: BundleDefinition, seed: int | None = None) -> nn.Module:
    """A network with one batch normalisation, in place of the bundle's, whose masks hang on it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        last = nn.Conv2d(4, 1, 1, bias=True)
        last.weight.data *= 20
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(), last)


def test_fine_tuning_comes_after_the_rounds_and_its_steps_count(
    sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BundleDefinition, "network", with_statistics)
    changes = {"light_settings": {"learning_rate": 0.05}, "method": {"epochs": 3}}
    done = run("finetuned", sites, tmp_path, **changes, compare={"fedavg": False, "cross_site": True})
    best = under(stored(done, "training-finetuned"), "best/")
    assert same({name: released(done)[name] for name in best}, best)
    assert not any(done.tensors(site, "dsf_fine_tune")[0] for site in SOURCES), "the networks stay"
    found, record = cases(done), read_json(done.run / "record.json")
    assert set(found) == {"finetuned", "finetuned_global"}
    assert found["finetuned"]["site_d"] == found["finetuned_global"]["site_d"], "the unseen site has none"
    tuned = read_json(done.run / "store" / "fine-tune.json")["info"]["sites"]
    steps = -(-6 // record["config"]["light"]["batch_size"])
    assert record["budgets"]["finetuned"] == {"rounds": 2, "local_steps": len(SOURCES) * (2 + 3) * steps}
    for site in SOURCES:
        own = read_tensors(done.run / "sites" / site / "fine_tuning" / "own.safetensors")
        as_received = {name: tensor.half().float() for name, tensor in best.items()}
        assert same(own, as_received) == (tuned[site]["epoch"] == 0)
        bundle = done.run / "sites" / site / "fine_tuning" / "release" / "models" / "model.pt"
        assert same({name: torch.load(bundle, weights_only=True)[name] for name in own}, own)
    assert any(tuned[site]["epoch"] for site in SOURCES)
    square, own_figures = record["cross_site"]["finetuned"], found["finetuned"]
    assert [set(row) for row in square.values()] == [{*SOURCES, "site_d"}] * 3
    assert {site: square[site][site] for site in SOURCES} == {
        site: pytest.approx(fmean(case["dice"][0] for case in own_figures[site])) for site in SOURCES
    }


@pytest.mark.parametrize(
    ("method", "changes", "words"),
    [
        ("fedavgm", {"method": {"momentum": 1.0}}, "momentum"),
        ("fedavgm", {"method": {"tau": 0.1}}, "tau"),
        ("fedadam", {"method": {"tau": 0.0}}, "tau"),
        ("fedyogi", {"method": {"second": -0.1}}, "second"),
        ("moon", {"method": {"temperature": 0.0}}, "temperature"),
        ("moon", {"method": {"contrast_weight": -1.0}}, "contrast_weight"),
        ("ditto", {"method": {"pull": -1.0}}, "pull"),
        ("feddg", {"method": {"band": 0.5}}, "method.band"),
        ("feddg", {"method": {"images": 0}}, "method.images"),
        ("fedrdn", {"method": {"band": 0.5}}, "fedrdn has no options"),
        ("finetuned", {"method": {"epochs": 0}}, "method.epochs"),
        ("finetuned", {"method": {"rate_factor": 0.0}}, "rate_factor"),
        ("fedrep", {"method": {"head_epochs": -1}}, "head_epochs"),
        ("fedrep", {"method": {"head_layers": -1}}, "head_layers"),
        ("scaffold", {"method": {"rate": 1}}, "scaffold has no options"),
        ("scaffold", {"robust": {"rule": "median"}}, "robust.rule"),
        ("scaffold", {"light": {"autocast": "float16"}}, "light.autocast"),
    ],
)
def test_an_option_that_cannot_be_is_refused(method: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        workflow_of(method, smoke(method, **changes))
