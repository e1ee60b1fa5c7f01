# SPDX-License-Identifier: Apache-2.0
"""What a configuration may name and compute: hostile values run nothing, wherever a bundle is opened."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from dsfedmed.bundles.checks import check_bundle, require_bundle
from dsfedmed.bundles.definition import BundleDefinition, lay_values
from dsfedmed.bundles.documents import TRAIN, check_documents, read_config
from dsfedmed.bundles.rules import check_document, check_metadata
from dsfedmed.errors import ConfigError
from tests.bundles.conftest import ROOT
from tests.bundles.hostile import HOSTILE, SYSTEM, Hostile, Witness

BUNDLE = ROOT / "bundles" / "light_unet_segmentation"
ALL = pytest.mark.parametrize("hostile", HOSTILE, ids=[hostile.name for hostile in HOSTILE])


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path / "witness")


def with_value(folder: Path, hostile: Hostile, witness: Witness) -> Path:
    """Copy the bundle, with the value at its place."""
    shutil.copytree(BUNDLE, folder)
    document = lay_values(read_config(folder / TRAIN), {hostile.place: hostile.aimed_at(witness)}, "test")
    (folder / TRAIN).write_text(json.dumps(document))
    return folder


@ALL
def test_a_party_opens_no_bundle_with_it(hostile: Hostile, witness: Witness, tmp_path: Path) -> None:
    folder = with_value(tmp_path / "b", hostile, witness)
    with pytest.raises(ConfigError, match=r"train\.json") as caught:
        BundleDefinition(folder)
    assert hostile.place.split("::")[0] in caught.value.reason
    results = check_bundle(folder)
    assert [result.name for result in results if result.complaints] == ["rules"] == [results[-1].name]
    with pytest.raises(ConfigError, match="rules"):
        require_bundle(folder)
    assert not witness.disturbed


@pytest.mark.parametrize("hostile", [h for h in HOSTILE if h.runs], ids=[h.name for h in HOSTILE if h.runs])
def test_without_the_rules_it_would_have_run(hostile: Hostile, witness: Witness, tmp_path: Path) -> None:
    """MONAI alone disturbs the witness: the test above would notice."""
    document = read_config(with_value(tmp_path / "b", hostile, witness) / TRAIN)
    with contextlib.suppress(Exception):  # what the value returns does not fit its place, which comes too late
        ConfigParser(document).get_parsed_content(hostile.part)
    assert witness.disturbed


@pytest.mark.parametrize("name", ["inference.json", "evaluate.json"])
def test_it_is_found_in_every_file(name: str, witness: Witness, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(BUNDLE, folder)
    path = folder / "configs" / name
    key = "handlers" if name == "inference.json" else "validate::handlers"
    value = {"_target_": SYSTEM, "command": f"touch {witness.made}"}
    path.write_text(json.dumps({**read_config(path), key: [value]}))
    with pytest.raises(ConfigError, match=rf"{name}: .*handlers::0::_target_"):
        check_documents(folder)
    assert not witness.disturbed


@pytest.mark.parametrize("bundle", sorted((ROOT / "bundles").iterdir()), ids=lambda path: path.name)
def test_every_committed_bundle_keeps_the_rules(bundle: Path) -> None:
    assert set(check_documents(bundle)) >= {"configs/inference.json", "configs/metadata.json"}


@pytest.mark.parametrize(
    "plain",
    [
        "$@bundle_root + '/models/model.pt'", "$@ckpt_dir + '/model.pt'", "$@a::b#c.to(@device)", "$2 * @k", "$[@k, 1]",
        "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')", "$np.uint8", "plain text", "@a::b", "%a::b",
        ".", "data/images", ".png", "n/a", 3, 2.5, None, True,
    ],
)  # fmt: skip
def test_what_bundles_need_passes(plain: Any) -> None:
    check_document({"x": [{"y": plain}]}, "test")


def test_a_file_that_refers_nowhere_else_is_refused_by_its_key() -> None:
    with pytest.raises(ConfigError, match=r"x\.json: 'a' has the key 'b::_target_'"):
        check_document({"a": {"b::_target_": "os.system"}}, "x.json")
    with pytest.raises(ConfigError, match=r"x\.json: '' has the key '\+a'"):
        check_document({"+a": 1}, "x.json")


def test_what_nests_without_end_is_refused() -> None:
    node: Any = 1
    for _ in range(100):
        node = {"a": node}
    with pytest.raises(ConfigError, match="deeper than 32 levels"):
        check_document(node, "test")


@pytest.mark.parametrize("value", ["$1", "@a", "%a", {"_target_": "monai.transforms.Compose"}, {"a": [{"b": "$x"}]}])
def test_metadata_compute_nothing(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"metadata\.json"):
        check_metadata({"description": value}, "metadata.json")


def test_a_class_that_moved_is_refused_with_its_new_path() -> None:
    old = "dsfedmed.networks.bundle_transforms.LabelToChannelsd"
    with pytest.raises(ConfigError, match=r"has moved\. Write dsfedmed\.bundles\.transforms\.LabelToChannelsd"):
        check_document({"a": {"_target_": old}}, "release/configs/train.json")
