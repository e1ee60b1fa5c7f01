# SPDX-License-Identifier: Apache-2.0
"""A base that the server has as a file: no hospital spends a round on it; one that does not fit is refused first."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.server.finished_run import FinishedRun
from dsfedmed.federated.server.given_base import check_given_base, given_base
from dsfedmed.federated.server.reuse import reuse_stages
from dsfedmed.federated.server.stage_dependencies import CHAIN
from dsfedmed.generator import GeneratorConfig, build_base
from dsfedmed.generator.base_file import read_base, write_base
from dsfedmed.settings import Settings
from dsfedmed.store.files import file_sha256, read_json
from tests.federated.server.conftest import SMALLEST, Finished
from tests.federated.tiny import BUNDLES, FakeRun, tiny_plan, tiny_settings
from tests.runs.tiny import NOTHING

GIVEN = {**SMALLEST["generator"], "base": "given"}


def settings_of(**changes: Any) -> Settings:
    return tiny_settings(**{**SMALLEST, "generator": GIVEN, "compare": NOTHING, **changes})


def write(path: Path, seed: int = 1, **changes: Any) -> Path:
    """A base for the runs of these tests, or for others where something is changed."""
    settings = settings_of()
    config = GeneratorConfig.from_dict({**settings.generator_model, "image_size": settings.image_size, **changes})
    write_base(path, build_base(config, seed).state_dict(), config)
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("base") / "base.safetensors")


@pytest.fixture(scope="module")
def run(finished: Finished, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run with that base."""
    folder = tmp_path_factory.mktemp("given") / "run"
    layout = SimulatedSites(finished.sites, folder, BUNDLES, generator_base=base)
    assert simulate_locally("dsfedmed", settings_of(), layout) == "complete"
    return folder


def bytes_of(record: dict[str, Any], stage: str, direction: str) -> list[int]:
    return [e["bytes"] for e in record["bytes"]["entries"] if (e["stage"], e["direction"]) == (stage, direction)]


def test_no_round_is_spent_on_it_and_it_goes_down_with_the_branches_task(run: Path, finished: Finished) -> None:
    record, fitted = (read_json(folder / "record.json") for folder in (run, finished.folder))
    assert "fit base" not in [stage["name"] for stage in record["stages"]]
    assert not bytes_of(record, "fit base", "up") + bytes_of(record, "fit base", "down")
    assert bytes_of(fitted, "fit base", "up")
    both = [bytes_of(found, "fit branches", "down") for found in (record, fitted)]
    assert len(both[0]) == 2
    assert both[0] == pytest.approx(both[1], abs=200)


def test_the_record_and_the_report_say_which_file_it_was(run: Path, base: Path) -> None:
    sha256 = file_sha256(base)
    assert read_json(run / "record.json")["generator_base"] == {"file": "base.safetensors", "sha256": sha256}
    page = (run / "report.html").read_text()
    assert f"Base generator (given: base.safetensors, sha256 {sha256[:12]})" in page
    assert str(base.parent) not in page


def test_the_finished_run_has_its_weights(run: Path, finished: Finished, base: Path) -> None:
    opened = FinishedRun.open(run, finished.sites, PartyConfig(bundles=BUNDLES))
    weights = read_base(base, opened.plan.generator)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in opened.generator_base.unet.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (None, "is `given`, and the server has no file of a base. Make a file with `dsfedmed pretrain-generator`"),
        ({"image_size": 64}, r"a base for image_size 64 \(the run has 32\)"),
        ({"image_mean": 0.5}, r"a base for image_mean 0\.5 \(the run has 0\.3\)"),
        ({"channels": 3}, r"a base for channels 3 \(the run has 1\)"),
    ],
)
def test_what_does_not_fit_ends_the_run_before_a_hospital_works(
    finished: Finished, tmp_path: Path, changes: dict[str, Any] | None, said: str
) -> None:
    file = None if changes is None else write(tmp_path / "base.safetensors", **changes)
    layout = SimulatedSites(finished.sites, tmp_path / "run", BUNDLES, generator_base=file)
    verdict = simulate_locally("dsfedmed", settings_of(), layout)
    with pytest.raises(ConfigError, match=said):
        raise ConfigError("verdict", verdict, "")
    assert "\n" not in verdict
    stages = {entry["stage"] for entry in read_json(tmp_path / "run" / "record.json")["bytes"]["entries"]}
    assert stages == ({"check sites"} if changes == {"channels": 3} else set()), "channels are the hospitals' to say"


def test_only_a_given_base_is_looked_for(base: Path, tmp_path: Path) -> None:
    check_given_base(tiny_settings(), None)
    check_given_base(settings_of(), base)
    with pytest.raises(ConfigError, match="there is no such file"):
        check_given_base(settings_of(), tmp_path / "none.safetensors")


def test_a_resumed_run_goes_on_with_the_same_file(base: Path, tmp_path: Path) -> None:
    server = FakeRun(tmp_path, settings_of(), lambda *asked: pytest.fail("a site was asked"))
    plan, wanted = tiny_plan(server.settings), read_base(base, tiny_plan(server.settings).generator)
    for path in (base, shutil.copy(base, tmp_path / "moved.safetensors")):
        server.config = replace(server.config, generator_base=Path(path))
        found = given_base(server, plan)  # type: ignore[arg-type]
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    server.config = replace(server.config, generator_base=write(tmp_path / "other.safetensors", seed=2))
    with pytest.raises(ConfigError, match=r"the run began with another base \(base\.safetensors\)"):
        given_base(server, plan)  # type: ignore[arg-type]


def test_a_run_with_another_base_is_not_reused(run: Path, finished: Finished, base: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copy(base, tmp_path / "moved.safetensors"))
    layout = SimulatedSites(finished.sites, tmp_path / "new", BUNDLES, generator_base=moved)
    for wrong in (None, write(tmp_path / "other.safetensors", seed=2), tmp_path / "none.safetensors"):
        with pytest.raises(ConfigError, match=r"another 'generator_base' \(base\.safetensors [0-9a-f]{12}, not "):
            reuse_stages(run, tmp_path / "refused", settings_of(), replace(layout, generator_base=wrong))
    assert not (tmp_path / "refused").exists()
    assert reuse_stages(run, tmp_path / "new", settings_of(), layout)[: len(CHAIN)] == CHAIN
    kept = (read_json(folder / "store" / "fit base.json") for folder in (run, tmp_path / "new"))
    first, second = ({name: entry[name] for name in ("info", "tensors")} for entry in kept)
    assert first == second


def test_a_fitted_run_gives_a_given_one_what_no_generator_made(finished: Finished, base: Path, tmp_path: Path) -> None:
    settings = replace(finished.settings, generator=settings_of().generator)
    layout = SimulatedSites(finished.sites, tmp_path / "new", BUNDLES, generator_base=base)
    kept = reuse_stages(finished.folder, tmp_path / "new", settings, layout)
    assert kept == ("compare fedavg", "compare fedprox", "compare local", "compare centralised")
