# SPDX-License-Identifier: Apache-2.0
"""What a server's request says of a bundle: data for an installed bundle, or refused at the site; never code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.site.context import SiteContext
from tests.bundles.hostile import HOSTILE, Witness
from tests.federated.tiny import BUNDLES, tiny_plan, tiny_settings

SPEC = tiny_plan(tiny_settings()).light_spec


@pytest.fixture
def site(tmp_path: Path) -> SiteContext:
    return SiteContext("site_a", PartyConfig(bundles=BUNDLES), tmp_path / "site")


def test_a_request_names_an_installed_bundle_and_its_settings(site: SiteContext) -> None:
    assert SPEC.keys() == {"bundle", "settings", "sha256"}
    assert site.bundle(SPEC).settings == SPEC["settings"]


@pytest.mark.parametrize("hostile", HOSTILE, ids=[hostile.name for hostile in HOSTILE])
def test_no_hostile_value_runs_at_a_site(hostile: Any, site: SiteContext, tmp_path: Path) -> None:
    witness = Witness(tmp_path / "witness")
    for key in (hostile.place, "learning_rate", "loss", "channels", "_target_"):
        spec = {**SPEC, "settings": {**SPEC["settings"], key: hostile.aimed_at(witness)}}
        with pytest.raises(ConfigError, match=r"the server's request: (unknown )?setting"):
            site.bundle(spec)
    assert not witness.disturbed


@pytest.mark.parametrize("name", [str(BUNDLES / SPEC["bundle"]), "../bundles/light_unet_segmentation", "", None, 3])
def test_a_path_is_no_bundle(name: Any, site: SiteContext) -> None:
    with pytest.raises(ConfigError, match=r"the server's request: .* is no bundle's name"):
        site.bundle({**SPEC, "bundle": name})


@pytest.mark.parametrize("settings", [None, [], {}, 3, "x"])
def test_other_settings_are_another_bundle(settings: Any, site: SiteContext) -> None:
    with pytest.raises(ConfigError, match=r"differs from the server's|is no mapping of settings"):
        site.bundle({**SPEC, "settings": settings})


def test_an_error_tells_the_server_no_path_of_the_site(site: SiteContext) -> None:
    with pytest.raises(ConfigError) as caught:
        site.bundle({**SPEC, "bundle": "no_such_bundle"})
    assert str(BUNDLES) not in " ".join(site.public_error(caught.value).values())
