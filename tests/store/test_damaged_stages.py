# SPDX-License-Identifier: Apache-2.0
"""A stage store that was edited, cut, exchanged or copied from another run is found, and what follows is done again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dsfedmed.errors import StoreError
from dsfedmed.store.files import read_tensors, write_tensors
from dsfedmed.store.stage_store import StageStore

CONFIG = {"seed": 0}
Damage = Callable[[Path], object]


def made(folder: Path) -> StageStore:
    """A run of five stages; "rounds" was put anew while "distillation" was, as rounds are."""
    store = StageStore(folder, CONFIG)
    store.put("began", {"sha256": "a"})
    store.put("base", {"loss": 0.25}, {"w": torch.arange(4.0)})
    store.put("branch", {"loss": 0.5}, {"w": torch.arange(4.0) + 1})
    for number in (1, 2):
        store.put("rounds", {"round": number}, {"w": torch.full((4,), float(number))})
        store.put("distillation", {"round": number})
    store.put("evaluate", {"dice": [0.8123, 0.5]})
    return store


def edit(name: str, old: bytes, new: bytes) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        assert old in content
        (folder / name).write_bytes(content.replace(old, new, 1))

    return damage


def flip(name: str) -> Damage:
    def damage(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

    return damage


def swap(first: str, second: str) -> Damage:
    def damage(folder: Path) -> None:
        one, two = ((folder / name).read_bytes() for name in (first, second))
        (folder / first).write_bytes(two)
        (folder / second).write_bytes(one)

    return damage


def of_another_run(stage: str) -> Damage:
    """The same stage of a run with the same settings."""

    def damage(folder: Path) -> None:
        other = made(folder.parent / "other")
        for path in other.folder.glob(f"{stage}*"):
            shutil.copy(path, folder / path.name)

    return damage


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a figure edited": (edit("evaluate.json", b"0.8123", b"0.9900"), "evaluate"),
    "one digit more": (edit("evaluate.json", b"0.5", b"0.51"), "evaluate"),
    "cut": (lambda folder: (folder / "evaluate.json").write_bytes(b'{"info": {'), "evaluate"),
    "empty": (lambda folder: (folder / "evaluate.json").write_bytes(b""), "evaluate"),
    "a list": (lambda folder: (folder / "evaluate.json").write_text("[]"), "evaluate"),
    "a number": (lambda folder: (folder / "evaluate.json").write_text("7"), "evaluate"),
    "text for facts": (edit("evaluate.json", b'"file": null', b'"file": "base.safetensors"'), "evaluate"),
    "tensors flipped": (flip("branch.safetensors"), "branch"),
    "tensors removed": (lambda folder: (folder / "branch.safetensors").unlink(), "branch"),
    "another run's": (of_another_run("branch"), "branch"),
    "entries exchanged": (swap("base.json", "branch.json"), "base"),
    "tensors exchanged": (swap("base.safetensors", "branch.safetensors"), "base"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_refused_by_name_where_it_is_read(name: str, tmp_path: Path) -> None:
    damage, stage = DAMAGES[name]
    before = made(tmp_path / "store").get(stage)
    damage(tmp_path / "store")
    with pytest.raises(StoreError, match=rf"{stage}[^\n]*(does not match the hash|cannot be read)"):
        StageStore(tmp_path / "store", CONFIG).get(stage)
    assert before.info


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_dropped_with_what_came_after_it(name: str, tmp_path: Path) -> None:
    damage, stage = DAMAGES[name]
    made(tmp_path / "store")
    damage(tmp_path / "store")
    store = StageStore(tmp_path / "store", CONFIG)
    told = store.mend(first=("began",))
    assert stage in told
    order = ["base", "branch", "rounds", "distillation", "evaluate"]
    left = order[: order.index(stage)]
    assert [name for name in order if store.has(name)] == left
    assert all(store.get(name).info for name in (*left, "began"))
    later = sorted(set(order) - set(left) - set(told))
    assert told[stage].endswith(f"with what came after it: {', '.join(later)}" if later else "; done again")
    assert store.mend(first=("began",)) == {}


def test_stages_that_grew_together_go_together(tmp_path: Path) -> None:
    """Rounds and distillation are put in turns: with either of them damaged, neither can go on from where it was."""
    for damaged, other in (("rounds", "distillation"), ("distillation", "rounds")):
        store = made(tmp_path / damaged)
        (store.folder / f"{damaged}.json").write_text("{}")
        told = store.mend()
        assert set(told) == {damaged}
        assert other in told[damaged]
        assert not store.has(other)
        assert store.has("branch")


def test_a_stage_removed_by_hand_is_done_again_with_what_came_after_it(tmp_path: Path) -> None:
    store = made(tmp_path / "store")
    (store.folder / "branch.json").unlink()
    assert store.mend() == {
        "branch": "it was removed; done again, with what came after it: distillation, evaluate, rounds"
    }
    assert store.has("base")
    assert not (store.folder / "rounds.safetensors").exists()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{}")])
def test_what_the_run_began_with_cannot_be_done_again(damage: Damage, tmp_path: Path) -> None:
    store = made(tmp_path / "store")
    damage(store.folder / "began.json")
    with pytest.raises(StoreError, match=r"began\.json: .*says what the run began with\. Start in another"):
        store.mend(first=("began",))
    assert store.has("evaluate")


def test_without_the_order_everything_counts_as_later(tmp_path: Path) -> None:
    store = made(tmp_path / "store")
    (store.folder / "order.json").write_text("[]")
    assert store.mend() == {}, "nothing that is whole is dropped for it"
    (store.folder / "evaluate.json").write_text("{}")
    assert set(store.mend(first=("began",))) == {"evaluate"}
    assert not store.has("base")
    assert store.get("began").info == {"sha256": "a"}


def test_a_whole_store_is_left_as_it_is_and_dropped_stages_are_not_missed(tmp_path: Path) -> None:
    store = made(tmp_path / "store")
    store.drop("base")
    before = sorted((path.name, path.read_bytes()) for path in store.folder.iterdir())
    assert StageStore(tmp_path / "store", CONFIG).mend() == {}
    assert sorted((path.name, path.read_bytes()) for path in store.folder.iterdir()) == before


@pytest.mark.parametrize("content", ["[]", "7", '{"version": "0.4.0"}', '{"version": "0.4.0", "config": []}'])
def test_a_configuration_of_another_type_is_refused(content: str, tmp_path: Path) -> None:
    made(tmp_path / "store")
    (tmp_path / "store" / "config.json").write_text(content)
    with pytest.raises(
        StoreError, match=r"config\.json: is not the configuration of a run\. Start in another|store: made by"
    ):
        StageStore(tmp_path / "store", CONFIG)


def test_a_copied_run_folder_is_whole(tmp_path: Path) -> None:
    made(tmp_path / "store")
    shutil.copytree(tmp_path / "store", tmp_path / "moved")
    assert StageStore.existing(tmp_path / "moved").mend() == {}
    with pytest.raises(StoreError, match="another configuration"):
        StageStore(tmp_path / "moved", {"seed": 1})


@pytest.mark.parametrize("byte", [-1, -7])
def test_kept_tensors_say_when_a_bit_was_turned_or_the_file_is_another_one(byte: int, tmp_path: Path) -> None:
    path = tmp_path / "dsfedmed-0002.safetensors"
    state = {"exp_avg": torch.rand(3, 5), "half": torch.ones(2).half(), "step": torch.tensor(7), "none": torch.ones(0)}
    write_tensors(path, state)
    assert all(torch.equal(state[name], tensor) for name, tensor in read_tensors(path).items())
    shutil.copy(path, tmp_path / "dsfedmed-0003.safetensors")  # an earlier round's state in a later one's place
    with pytest.raises(StoreError, match=r"0003\.safetensors: does not match the hash it was written with\. Remove"):
        read_tensors(tmp_path / "dsfedmed-0003.safetensors")
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"0002\.safetensors: does not match the hash"):
        read_tensors(path)


def test_facts_may_hold_whatever_json_can_say(tmp_path: Path) -> None:
    store = StageStore(tmp_path / "store", CONFIG)
    store.put("odd", {"tuple": (1, 2), "kept": {3: "three"}, "small": 1e-320, "name": "Süd"})
    assert StageStore(tmp_path / "store", CONFIG).get("odd").info == json.loads(
        json.dumps({"tuple": (1, 2), "kept": {3: "three"}, "small": 1e-320, "name": "Süd"})
    )
