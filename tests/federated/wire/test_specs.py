# SPDX-License-Identifier: Apache-2.0
"""What requests say of run, round and networks: built from JSON as it was, and its own limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.manifest import Manifest
from dsfedmed.errors import PayloadError
from dsfedmed.federated.wire.codec import from_json, to_json, to_object
from dsfedmed.federated.wire.specs import (
    BundleSpec,
    FileOffer,
    LowRankSpec,
    ReferenceMove,
    RoundFacts,
    RunFacts,
    SetOffer,
    SoftLabelChoice,
    TeacherInit,
    TeacherSpec,
)
from tests.federated.tiny import HASH, noise_manifest, tiny_plan, tiny_settings

PLAN = tiny_plan(tiny_settings())
OFFER = FileOffer("server.job", "token")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return noise_manifest(tmp_path_factory.mktemp("set"), ["site_a", "site_b"], shard_size=1)


def back(value: Any) -> Any:
    return from_json(type(value), json.loads(json.dumps(to_json(value))), "site_a")


@pytest.mark.parametrize(
    "value",
    [
        TeacherSpec("tiny", 32, 1),
        LowRankSpec(4, 8.0, ("qkv", "proj")),
        TeacherInit(None, 2**64 - 1, LowRankSpec(1, 0.0, ())),
        TeacherInit(HASH, 0, LowRankSpec(1, 0.0, ())),
        OFFER,
        ReferenceMove("", HASH),
        ReferenceMove(HASH, HASH, HASH, OFFER),
        RoundFacts("dsfedmed", 3, 2, 16, True, ReferenceMove("", HASH, "", OFFER)),
        RoundFacts("dsfedmed", 0, 0, 1, False),
    ],
)
def test_they_come_back_as_they_were(value: Any) -> None:
    assert back(value) == value


def test_a_run_s_facts_come_back_with_the_bundle_s_settings() -> None:
    found = back(PLAN.common)
    assert found == PLAN.common
    assert found.light.settings == PLAN.light_spec.settings
    assert isinstance(found, RunFacts)


def test_sets_come_back_whole_and_are_checked_as_a_set_is(manifest: Manifest) -> None:
    offer = SetOffer(manifest, "server.job", {shard.name: "token" for shard in manifest.shards})
    assert back(offer) == offer
    choice = SoftLabelChoice(manifest, (0, 1), (1,), HASH, 0.25, 2.5, ("site_a", "hospital-1.example"))
    assert back(choice) == choice
    content: Any = to_json(offer)
    content["manifest"]["count"] = 3
    with pytest.raises(PayloadError, match="site_a: sent SetOffer in which synthetic-set manifest: the shards hold 2"):
        from_json(SetOffer, content, "site_a")
    content["manifest"]["shards"][0]["name"] = "../evil.safetensors"
    with pytest.raises(PayloadError, match=r"not a plain \.safetensors name"):
        from_json(SetOffer, content, "site_a")


ROUND = to_object(RoundFacts("dsfedmed", 3, 2, 16, True))
BUNDLE = to_object(BundleSpec("light_unet_segmentation", {"num_classes": 1}, HASH))


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        (RoundFacts, {**ROUND, "training": "../evil"}, "RoundFacts.training: '../evil' is not of the form"),
        (RoundFacts, {**ROUND, "training": "a.b"}, "RoundFacts.training: 'a.b' is not of the form"),
        (RoundFacts, {**ROUND, "training": ""}, "RoundFacts.training: '' is not of the form"),
        (RoundFacts, {**ROUND, "round": -1}, "RoundFacts.round: -1 is not between"),
        (RoundFacts, {**ROUND, "batch_size": 0}, "RoundFacts.batch_size: 0 is not between"),
        (RoundFacts, {**ROUND, "keep_optimizer": 1}, "RoundFacts.keep_optimizer = 1, which is no bool"),
        (RoundFacts, {**ROUND, "reference": {"start": "", "target": ""}}, "RoundFacts.reference.target: ''"),
        (BundleSpec, {**BUNDLE, "bundle": "/bundles/x"}, "BundleSpec.bundle: '/bundles/x' is not of the form"),
        (BundleSpec, {**BUNDLE, "bundle": ".."}, "BundleSpec.bundle: '..' is not of the form"),
        (BundleSpec, {**BUNDLE, "settings": {"_target_": "os.system"}}, "BundleSpec.settings's key: '_target_'"),
        (BundleSpec, {**BUNDLE, "settings": {"a::b": 1}}, "BundleSpec.settings's key: 'a::b'"),
        (BundleSpec, {**BUNDLE, "settings": {"x": None}}, "BundleSpec.settings['x'] = None"),
        (BundleSpec, {**BUNDLE, "settings": {"x": {"y": {"z": 1}}}}, "BundleSpec.settings['x']['y'] = {'z': 1}"),
        (BundleSpec, {**BUNDLE, "sha256": ""}, "BundleSpec.sha256: '' is not of the form"),
        (TeacherSpec, {"variant": "a/b", "image_size": 32, "num_classes": 1}, "TeacherSpec.variant: 'a/b'"),
        (TeacherSpec, {"variant": "tiny", "image_size": 10**6, "num_classes": 1}, "TeacherSpec.image_size: 1000000"),
        (LowRankSpec, {"rank": 0, "alpha": 1.0, "layers": []}, "LowRankSpec.rank: 0 is not between 1 and 1024"),
        (LowRankSpec, {"rank": 1, "alpha": 1.0, "layers": ["x"] * 101}, "LowRankSpec.layers: 101 entries are more"),
        (FileOffer, {"source": "", "reference": "x"}, "FileOffer.source: '' is not of the form"),
        (FileOffer, {"source": "a\nb", "reference": "x"}, "FileOffer.source: 'a\\nb' is not of the form"),
    ],
)  # fmt: skip
def test_what_is_out_of_its_limits_is_refused(kind: type[Any], content: Any, reason: str) -> None:
    with pytest.raises(PayloadError) as caught:
        from_json(kind, content, "server")
    assert caught.value.reason.startswith(f"sent {reason}")


def test_a_choice_of_images_is_made_of_indices(manifest: Manifest, tmp_path: Path) -> None:
    content = to_object(SoftLabelChoice(manifest, (0,), (0,), HASH, 0.25, 2.5))
    for key, value in (("kept", [-1]), ("selected", [2**31]), ("sites", ["../x"]), ("kl_weight", -1.0)):
        with pytest.raises(PayloadError, match=f"SoftLabelChoice.{key}"):
            from_json(SoftLabelChoice, {**content, key: value}, "server")
