# SPDX-License-Identifier: Apache-2.0
"""The stage store: done means done with matching hashes; a crash anywhere loses at most the last put."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.errors import StoreError
from dsfedmed.store import stage_store
from dsfedmed.store.stage_store import StageStore, config_hash

CONFIG = {"seed": 0, "sites": ["site_a", "site_b"]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


class Crash(BaseException):
    """The process ended here."""


def _crash(*_: object) -> None:
    raise Crash


def _store(folder: Path) -> StageStore:
    return StageStore(folder / "store", CONFIG)


def test_put_has_get_drop(tmp_path: Path) -> None:
    store = _store(tmp_path)
    assert not store.has("fit base")
    store.put("fit base", {"rounds": 2}, {"w": torch.tensor([1.0, 2.0])})
    store.put("plain", {})
    again = _store(tmp_path)
    assert again.has("fit base")
    assert again.has("plain")
    result = again.get("fit base")
    assert result.info == {"rounds": 2}
    assert result.tensors["w"].tolist() == [1.0, 2.0]
    assert again.get("plain").tensors == {}
    again.drop("fit base")
    again.drop("never there")
    assert not store.has("fit base")
    assert [p.name for p in (tmp_path / "store").glob("*.safetensors")] == []


def test_a_later_put_replaces_the_earlier_one(tmp_path: Path) -> None:
    store = _store(tmp_path)
    for number in range(3):
        store.put("arm", {"round": number}, {"w": torch.full((2,), float(number))})
    assert store.get("arm").info == {"round": 2}
    assert store.get("arm").tensors["w"].tolist() == [2.0, 2.0]
    assert len(list((tmp_path / "store").glob("*.safetensors"))) == 1
    store.put("arm", {"round": 3})
    assert store.get("arm").tensors == {}


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    _store(tmp_path).put("fit base", {})
    with pytest.raises(StoreError, match=r"store: holds a run of another configuration .*Choose another --out"):
        StageStore(tmp_path / "store", {**CONFIG, "seed": 1})
    assert _store(tmp_path).has("fit base")


def test_altered_tensors_are_found_by_their_hash(tmp_path: Path) -> None:
    store = _store(tmp_path)
    store.put("teacher", {}, {"w": torch.zeros(64)})
    (path,) = (tmp_path / "store").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match=r"safetensors: does not match the hash.*Start the same command again"):
        store.get("teacher")
    path.unlink()
    with pytest.raises(StoreError, match="does not match the hash"):
        store.get("teacher")


def test_a_stage_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"audit\.json: cannot be read"):
        _store(tmp_path).get("audit")


def test_a_crash_between_tensors_and_json_means_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _store(tmp_path)
    monkeypatch.setattr(stage_store, "write_json", _crash)
    with pytest.raises(Crash):
        store.put("branches", {"sites": []}, {"w": torch.ones(2)})
    monkeypatch.undo()
    again = _store(tmp_path)
    assert not again.has("branches")
    again.put("branches", {"sites": ["site_a"]}, {"w": torch.zeros(2)})
    assert again.get("branches").tensors["w"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("step", ["write_tensors", "write_json"])
def test_a_crash_while_a_stage_is_put_again_leaves_the_earlier_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """An arm is put after every round: killed between tensors and JSON, the run resumes behind the round before."""
    store = _store(tmp_path)
    store.put("arm", {"round": 1}, {"w": torch.ones(2)})
    store.put("arm", {"round": 2}, {"w": torch.full((2,), 2.0)})
    monkeypatch.setattr(stage_store, step, _crash)
    with pytest.raises(Crash):
        store.put("arm", {"round": 3}, {"w": torch.full((2,), 3.0)})
    monkeypatch.undo()
    again = _store(tmp_path)
    assert again.get("arm").info == {"round": 2}
    assert again.get("arm").tensors["w"].tolist() == [2.0, 2.0]
    again.put("arm", {"round": 3}, {"w": torch.full((2,), 3.0)})
    assert _store(tmp_path).get("arm").tensors["w"].tolist() == [3.0, 3.0]


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5), st.randoms())
@settings(deadline=None, max_examples=60)
def test_a_configuration_hash_ignores_order_and_survives_json(config: dict[str, object], random: object) -> None:
    keys = list(config)
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert config_hash({key: config[key] for key in keys}) == config_hash(config)
    assert config_hash(json.loads(json.dumps(config))) == config_hash(config)
    assert config_hash({**config, "one more": 0}) != config_hash(config)


def test_values_and_depth_change_the_hash_and_nan_is_refused() -> None:
    hashes = {config_hash(c) for c in ({"a": 1}, {"a": "1"}, {"a": {"b": 1}}, {"a": [1]}, {"b": 1}, {"a": True})}
    assert len(hashes) == 6
    with pytest.raises(ValueError, match="JSON"):
        config_hash({"rate": float("nan")})
