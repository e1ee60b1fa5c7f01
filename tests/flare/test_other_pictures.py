# SPDX-License-Identifier: Apache-2.0
"""Pictures of four channels, and volumes, over NVFlare's simulator as a user starts it, from sites to release."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dsfedmed.bundles.checks import require_bundle
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.store.files import read_json
from tests.runs.commands import run_job
from tests.runs.other_pictures import NAMES, SLICES, with_four_channels, with_volumes
from tests.runs.tiny import NOTHING

pytestmark = [pytest.mark.federation, pytest.mark.slow]
COUNTS = {"training": 4, "validation": 8, "test": 2}
KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "four channels": (with_four_channels, lambda site: with_four_channels(site, NAMES[::-1])),
    "volumes": (with_volumes, lambda site: with_volumes(site, turned=True)),
}
"""What becomes of the first site's pictures, and of the second's."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_over_nvflare_ends_with_a_release(kind: str, tmp_path: Path) -> None:
    names = ("site_a", "site_b")
    make_demo_sites(tmp_path / "sites", 0, names, **COUNTS)
    for name, change in zip(names, KINDS[kind], strict=True):
        change(tmp_path / "sites" / name)
    options = ("--engine", "nvflare", "--set", f"compare={json.dumps(NOTHING)}")
    run = run_job(tmp_path / "sites", tmp_path / "run", *options, unseen=())
    assert run.code == 0, run.output[-3000:]
    record = read_json(run.folder / "record.json")
    assert record["verdict"] == "complete"
    assert (run.folder / "nvflare").is_dir()
    require_bundle(run.folder / "release", weights=True)
    image = read_json(run.folder / "release/configs/metadata.json")["network_data_format"]["inputs"]["image"]
    per_site = read_json(run.folder / "results.json")["methods"]["dsfedmed"]["per_site"]
    if kind == "four channels":
        assert image["channel_def"] == {str(k): name for k, name in enumerate(NAMES)}
        assert all(facts["channel_names"] == list(NAMES) for facts in record["facts"].values())
    else:
        assert image["num_channels"] == 1
        assert record["facts"]["site_a"]["counts"]["test"] == COUNTS["test"] * SLICES
    assert set(per_site) == set(names)
