# SPDX-License-Identifier: Apache-2.0
"""What a run is given beside its sites is looked at before anything is begun, and named where it is not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.cli.job.inputs import require_inputs
from dsfedmed.errors import ConfigError
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.party.layout import SimulatedSites
from tests.federated.tiny import BUNDLES
from tests.runs.smoke import smoke

FOLDERS = {"site_a": "site_a", "site_b": "site_b", "site_d": "site_d"}
MISSING = Path("weights") / "sam_vit_b.safetensors"


def check(folder: Path, method: str = "dsfedmed", options: dict[str, Any] | None = None, **given: Any) -> None:
    layout = replace(SimulatedSites(folder / "sites", folder / "run", BUNDLES), **given)
    require_inputs(workflow_of(method, smoke(method, **(options or {}))), layout, FOLDERS)


def test_what_is_there_passes(tmp_path: Path) -> None:
    file = tmp_path / "teacher.safetensors"
    file.write_bytes(b"")
    check(tmp_path, teacher=file, light_weights=file)
    check(tmp_path, "samfed", public=tmp_path)
    check(tmp_path, "pfedsam")
    assert list(tmp_path.iterdir()) == [file]  # nothing is written


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"teacher": MISSING}, rf"--teacher {MISSING}: no such file"),
        ({"teacher": BUNDLES}, rf"--teacher {BUNDLES}: no such file"),
        ({"light_weights": MISSING}, rf"--light-weights {MISSING}: no such file"),
        ({"generator_base": MISSING}, rf"--generator-base {MISSING}: no such file"),
        ({"generator": MISSING}, rf"--generator {MISSING}: no such folder"),
        ({"public": MISSING}, rf"--public {MISSING}: no such folder"),
        ({"device": "gpu0"}, "device gpu0: is not a device that torch knows"),
        ({"bundles": MISSING}, "the bundle 'light_unet_segmentation' is not installed"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check(tmp_path, **given)


def test_a_gpu_is_asked_for_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device cuda: "):
        check(tmp_path, device="cuda")


def test_a_bundle_of_the_run_or_of_one_site_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"light\.bundle: the bundle 'light_none' is not installed"):
        check(tmp_path, options={"light": {"bundle": "light_none"}})
    fusing = {"method": {"site_bundles": {"site_a": "light_none"}}}
    with pytest.raises(ConfigError, match=r"method\.site_bundles\.site_a: the bundle 'light_none' is not installed"):
        check(tmp_path, "samfed", fusing, public=tmp_path)


def test_a_method_on_public_labels_needs_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--public: is not given.*--label-site SITE"):
        check(tmp_path, "samfed")


def test_too_few_sites_are_left_to_train(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fewer than min_sites \(3\) are left"):
        check(tmp_path, options={"min_sites": 3})


RUNS: list[Callable[[Path], Path]] = [
    lambda sites: sites / "site_b",
    lambda sites: sites / "site_b" / "runs" / "new",
    lambda sites: sites.parent,  # its folder `sites` would hold the hospitals' own
]


@pytest.mark.parametrize("run", RUNS)
def test_a_run_never_writes_below_a_site(tmp_path: Path, run: Callable[[Path], Path]) -> None:
    for name in FOLDERS:
        (tmp_path / "sites" / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"--out .*: would write into the site folder site_"):
        check(tmp_path, run=run(tmp_path / "sites"))


def test_a_site_that_is_a_link_is_known_by_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    (tmp_path / "share").mkdir()
    (tmp_path / "sites" / "site_b").symlink_to(tmp_path / "share", target_is_directory=True)
    with pytest.raises(ConfigError, match="would write into the site folder share"):
        check(tmp_path, run=tmp_path / "share" / "run")
    check(tmp_path, run=tmp_path / "run")
