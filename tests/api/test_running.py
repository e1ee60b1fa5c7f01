# SPDX-License-Identifier: Apache-2.0
"""A run from Python: the same as by the command, with settings as keywords."""

from __future__ import annotations

from pathlib import Path

import pytest

import dsfedmed
from dsfedmed.api.running import _arguments
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from tests.runs.tiny import NOTHING, TINY


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "sites"
    make_demo_sites(folder, 0, ("site_a", "site_b"), training=4, validation=8, test=1)
    return folder


def test_a_run_from_python(sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not [finding for finding in dsfedmed.check_site(sites / "site_a").findings if finding.level == "error"]
    settings = {**TINY, "compare": NOTHING, "min_sites": 1}
    results = dsfedmed.run("fedbn", sites, tmp_path / "run", "smoke", ["site_b"], seed=3, **settings)
    assert (results.verdict, results.complete, results.figures["seed"]) == ("complete", True, 3)
    assert results.report.is_file()
    assert (results.release / "models" / "model.pt").is_file()
    names = [row.method for row in results.table()]
    assert names == ["FedBN", "FedBN, shared layers"]
    row = results.table()[0]
    assert set(row.sites) == {"site_a", "site_b"}
    assert row.seen is not None
    assert 0 <= row.seen <= 100
    assert str(results) in capsys.readouterr().out


def test_options_and_settings_become_words() -> None:
    args = _arguments(
        {"sites": "a", "out": "b", "unseen": ["x", "y"], "no_cases": True, "start_over": False, "teacher": None,
         "threads": 2, "rounds": 5, "schedule": {"joint_weight": 0.5}, "light_settings": {"loss": "bce"},
         "method": {"momentum": 0.5}}
    )  # fmt: skip
    assert (args.sites, args.unseen, args.no_cases, args.start_over) == (Path("a"), ["x", "y"], True, False)
    assert (args.teacher, args.threads) == (None, 2)
    assert args.set == ["rounds=5", "schedule.joint_weight=0.5", 'light_settings.loss="bce"', "method.momentum=0.5"]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("nothing", {}, "nothing is none of the methods"),
        ("fedbn", {"rouns": 3}, "unknown key"),
        ("fedbn", {"engine": "cloud"}, "invalid choice"),
        ("fedbn", {"threads": "many"}, "invalid int"),
    ],
)
def test_what_is_not_known_is_refused(method: str, options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        dsfedmed.run(method, tmp_path, tmp_path / "run", **options)


def test_a_methods_own_options_reach_it(sites: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'momentum'"):
        dsfedmed.run("fedavgm", sites, tmp_path / "run", "smoke", method={"momentun": 0.5})
