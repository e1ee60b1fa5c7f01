# SPDX-License-Identifier: Apache-2.0
"""Declared settings: what the committed bundles declare is true, and nothing but declared data gets through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.documents import METADATA, TRAIN, read_config
from dsfedmed.bundles.settings import (
    RUN_SETTINGS,
    DeclaredSetting,
    check_settings,
    declared_settings,
    values_by_id,
)
from dsfedmed.errors import ConfigError
from tests.bundles.conftest import BUNDLES, ROOT
from tests.bundles.hostile import HOSTILE, Witness
from tests.bundles.sent import CANARY, JSON, WORDS, is_of

UNET = ROOT / "bundles" / "light_unet_segmentation"
DECLARED = {folder.name: declared_settings(read_config(folder / METADATA)) for folder in BUNDLES}
EACH = [(name, setting) for name, declared in DECLARED.items() for setting in declared]


def another_value(setting: DeclaredSetting, present: Any) -> Any:
    """Return an allowed value that is not the present one."""
    if setting.kind == "boolean":
        return not present
    if setting.kind == "label_names":
        return {"0": "background", "1": "optic disc"}
    candidates = setting.choices or (setting.minimum, setting.maximum)
    if setting.kind in ("numbers", "integers", "strings"):
        length = len(present) if isinstance(present, list) else setting.min_items
        return next(value for c in candidates if (value := [c] * length) != present)
    value = next((c for c in candidates if c != present and f"@{setting.blocks}::{c}" != present), candidates[0])
    return int(value) if setting.kind == "integer" and not setting.choices else value


def at(document: Any, key: str) -> Any:
    for name in key.split("::"):
        document = document[int(name) if isinstance(document, list) else name]
    return document


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(node, (dict, list)) or not node:
        return {path: node}
    items = node.items() if isinstance(node, dict) else enumerate(node)
    return {k: v for key, value in items for k, v in leaves(value, f"{path}::{key}" if path else str(key)).items()}


@pytest.mark.parametrize(("bundle", "name"), EACH)
def test_every_declared_setting_changes_its_ids_and_nothing_else(bundle: str, name: str) -> None:
    folder, setting = ROOT / "bundles" / bundle, DECLARED[bundle][name]
    plain = read_config(folder / TRAIN)
    value = another_value(setting, at(plain, setting.sets[0]))
    laid = BundleDefinition(folder, {name: value}).document
    content = f"@{setting.blocks}::{value}" if setting.blocks else value
    assert all(at(laid, key) == content for key in setting.sets)
    before, after = leaves(plain), leaves(laid)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert all(key.startswith(setting.sets) for key in changed)
    assert bool(changed) == (len(setting.choices) != 1)


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda path: path.name)
def test_the_runs_own_settings_are_declared_and_more(folder: Path) -> None:
    declared = DECLARED[folder.name]
    assert set(RUN_SETTINGS) <= declared.keys()
    assert {"learning_rate", "weight_decay", "loss", "augmentation", "preprocessing"} <= declared.keys()
    assert all(setting.choices for setting in declared.values() if setting.kind in ("string", "strings"))
    assert all(setting.description for setting in declared.values())


@pytest.mark.parametrize(("bundle", "name"), [(b, name) for b, name in EACH if DECLARED[b][name].blocks])
def test_the_blocks_to_choose_from_can_be_built_and_differ(bundle: str, name: str) -> None:
    choices = DECLARED[bundle][name].choices
    small = {"image_size": [64, 64], **({"variant": "tiny"} if "variant" in DECLARED[bundle] else {})}
    built = set()
    for choice in choices:
        build = getattr(BundleDefinition(ROOT / "bundles" / bundle, {**small, name: choice}), name)
        part = build([torch.nn.Parameter(torch.zeros(1))]) if name == "optimizer" else build()
        plain = isinstance(part, (torch.nn.Module, torch.optim.Optimizer))
        built.add(str(part) if plain else str([type(step) for step in part.transforms]))
    assert len(built) == len(choices)


RATE = {"x": DeclaredSetting("x", "number", ("x",), "an x.", minimum=0.0, maximum=1.0)}


@pytest.mark.parametrize("values", [None, 3, "x", [("x", 1)], b"x"])
def test_what_is_no_mapping_is_refused(values: Any) -> None:
    with pytest.raises(ConfigError, match=r"the server: .* is not a mapping of settings"):
        check_settings(RATE, values, "the server")


@pytest.mark.parametrize("key", ["y", "_target_", "_mode_", "_requires_", "_disabled_", "x::y", "", 3, None, ("x",)])
def test_unknown_keys_are_refused(key: Any) -> None:
    with pytest.raises(ConfigError, match="the server: unknown setting") as caught:
        check_settings(RATE, {key: 0.5}, "the server")
    assert "x" in caught.value.fix
    with pytest.raises(ConfigError, match="declares no settings"):
        check_settings({}, {key: 0.5}, "the server")


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "number", "sets": ["x"], "description": "d"}, {"type": "string", "sets": ["x"], "description": "d"},
        {"type": "boolean", "description": "d"}, {"type": "boolean", "sets": [], "description": "d"},
        {"type": "any", "sets": ["x"], "description": "d"}, {"type": "boolean", "sets": ["x"]}, 3,
        {"type": "boolean", "sets": ["x"], "description": "d", "default": True},
        {"type": "string", "sets": ["x"], "description": "d", "choices": ["torch.nn.ReLU"]},
        {"type": "strings", "sets": ["x"], "description": "d", "choices": ["a"]},
    ],
)  # fmt: skip
def test_a_declaration_that_limits_nothing_is_refused(entry: Any) -> None:
    with pytest.raises(ConfigError, match=r"b/metadata\.json: settings\.x"):
        declared_settings({"settings": {"x": entry}}, "b/metadata.json")


def test_a_bundle_without_declarations_takes_no_settings() -> None:
    assert declared_settings({}) == {}


@pytest.mark.parametrize("bundle", sorted(DECLARED))
@given(values=st.dictionaries(WORDS, JSON, max_size=4))
@settings(max_examples=300)
def test_whatever_is_sent_is_refused_or_data(bundle: str, values: dict[str, Any]) -> None:
    declared = DECLARED[bundle]
    try:
        found = check_settings(declared, values, "the server")
    except ConfigError:
        return
    assert found.keys() == values.keys()
    assert all(is_of(declared[name], value) for name, value in found.items())
    assert all(key in declared[name].sets for name in found for key in values_by_id(declared, {name: found[name]}))


def test_no_hostile_value_gets_through_any_setting(tmp_path: Path) -> None:
    """Each of them, under each name, in each bundle: refused, and nothing runs."""
    witness = Witness(tmp_path / "witness")
    for folder in BUNDLES:
        definition = BundleDefinition(folder)
        for hostile in (hostile for hostile in HOSTILE if hostile.name != "root"):  # a plain word may name a label
            for name in (*definition.declared, hostile.place, "_target_"):
                for value in (hostile.aimed_at(witness), [hostile.aimed_at(witness)], {"1": hostile.aimed_at(witness)}):
                    with pytest.raises(ConfigError, match="setting"):
                        check_settings(definition.declared, {name: value}, "the server")
    assert not witness.disturbed


@given(values=st.dictionaries(st.sampled_from([*DECLARED[UNET.name], "_target_"]), JSON, max_size=2))
def test_a_bundle_with_what_was_sent_computes_nothing_new(values: dict[str, Any]) -> None:
    """The whole way: either refused, or a configuration whose targets and expressions are the installed ones."""
    try:
        definition = BundleDefinition(UNET, values)
    except ConfigError:
        return
    assert code_of(definition.document) <= code_of(read_config(UNET / TRAIN)) | references()
    for part in (definition.loss, definition.augmentation, definition.preprocessing, definition.inferer):
        part()
    definition.optimizer([torch.nn.Parameter(torch.zeros(1))])
    assert not CANARY.exists()


def references() -> set[str]:
    return {f"@{s.blocks}::{choice}" for s in DECLARED[UNET.name].values() for choice in s.choices if s.blocks}


def code_of(node: Any) -> set[str]:
    """What MONAI would compute of a document: targets, expressions, references and macros."""
    if isinstance(node, dict):
        own = {f"target {node['_target_']}"} if "_target_" in node else set()
        return own.union({key for key in node if key.startswith("_")}, *(code_of(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(code_of(value) for value in node))
    return {node} if isinstance(node, str) and node.startswith(("$", "@", "%")) else set()
