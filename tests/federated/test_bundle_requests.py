# SPDX-License-Identifier: Apache-2.0
"""What a server's request says of a bundle: data for an installed bundle, or refused at the site; never code."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.facts import FederationFacts
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import make_plan
from dsfedmed.federated.site.context import SiteContext
from tests.bundles.hostile import HOSTILE, Witness
from tests.federated.tiny import BUNDLES, tiny_plan, tiny_settings

SPEC = tiny_plan(tiny_settings()).light_spec


@pytest.fixture
def site(tmp_path: Path) -> SiteContext:
    return SiteContext("site_a", PartyConfig(bundles=BUNDLES), tmp_path / "site")


def test_a_request_names_an_installed_bundle_and_its_settings(site: SiteContext) -> None:
    assert site.bundle(SPEC).settings == SPEC.settings


@pytest.mark.parametrize("hostile", HOSTILE, ids=[hostile.name for hostile in HOSTILE])
def test_no_hostile_value_runs_at_a_site(hostile: Any, site: SiteContext, tmp_path: Path) -> None:
    witness = Witness(tmp_path / "witness")
    for key in (hostile.place, "learning_rate", "loss", "channels", "_target_"):
        spec = replace(SPEC, settings={**SPEC.settings, key: hostile.aimed_at(witness)})
        with pytest.raises(ConfigError, match=r"the server's request: (unknown )?setting"):
            site.bundle(spec)
    assert not witness.disturbed


@pytest.mark.parametrize("name", [str(BUNDLES / SPEC.bundle), "../bundles/light_unet_segmentation", "", None, 3])
def test_a_path_is_no_bundle(name: Any, site: SiteContext) -> None:
    with pytest.raises(ConfigError, match=r"the server's request: .* is no bundle's name"):
        site.bundle(replace(SPEC, bundle=name))


@pytest.mark.parametrize("settings", [None, [], {}, 3, "x"])
def test_other_settings_are_another_bundle(settings: Any, site: SiteContext) -> None:
    with pytest.raises(ConfigError, match=r"differs from the server's|is not a mapping of settings"):
        site.bundle(replace(SPEC, settings=settings))


def test_what_the_party_accepts_beyond_the_list_is_its_own(tmp_path: Path) -> None:
    """A site opens a bundle with a further class only if its own file names that class."""
    folder = shutil.copytree(BUNDLES / SPEC.bundle, tmp_path / "bundles" / SPEC.bundle)
    path = folder / "configs" / "train.json"
    document = json.loads(path.read_text())
    document["losses"]["dice"] = {"_target_": "monai.losses.FocalLoss"}
    path.write_text(json.dumps(document))
    config = PartyConfig(bundles=tmp_path / "bundles")
    settings = tiny_settings(light_settings={"loss": "dice"})
    facts = FederationFacts(1, 1, ("lesion",), True)
    with pytest.raises(ConfigError, match=r"monai\.losses\.FocalLoss.*bundle_classes"):
        make_plan(settings, config, facts, {"site_a": 4})
    wide = replace(config, bundle_classes=("monai.losses.FocalLoss",))
    plan = make_plan(settings, wide, facts, {"site_a": 4})
    with pytest.raises(ConfigError, match=r"monai\.losses\.FocalLoss.*bundle_classes"):
        SiteContext("site_a", config, tmp_path / "narrow").bundle(plan.light_spec)
    loss = SiteContext("site_a", wide, tmp_path / "wide").bundle(plan.light_spec).loss()
    assert type(loss.loss).__name__ == "FocalLoss"
    assert plan.spec_of(SPEC.bundle).bundle == SPEC.bundle


def test_an_error_tells_the_server_no_path_of_the_site(site: SiteContext) -> None:
    with pytest.raises(ConfigError) as caught:
        site.bundle(replace(SPEC, bundle="no_such_bundle"))
    assert str(BUNDLES) not in str(site.public_error(caught.value))
