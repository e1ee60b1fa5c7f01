# SPDX-License-Identifier: Apache-2.0
"""The synthetic-set store: whole, verified, lazy."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from dsfedmed.data import synthetic
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.png import pack_png
from dsfedmed.data.synthetic import SyntheticSet, verify_shard, write_parts, write_shards
from dsfedmed.errors import PayloadError, StoreError


def a_set(count: int = 10, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, 6, 6), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 3, (count, 1, 6, 6), generator=generator, dtype=torch.uint8)
    return images, labels, [f"site_{'ab'[n % 2]}" for n in range(count)]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    images, labels, origin = a_set(channels=3)
    manifest = write_shards(tmp_path, images, labels, origin, shard_size=4)
    assert [(shard.count, shard.first_index) for shard in manifest.shards] == [(4, 0), (4, 4), (2, 8)]
    assert manifest.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    found = SyntheticSet.open(tmp_path, manifest)
    order = [9, 0, 5, 5, 3]
    assert torch.equal(found.images(order), images[order].float() / 255)
    assert torch.equal(found.labels(order), labels[order])
    assert torch.equal(found.labels(), labels)
    assert found.origin == tuple(origin)
    assert len(found) == 10


def test_kept_positions_count_what_is_left(tmp_path: Path) -> None:
    images, labels, origin = a_set()
    manifest = write_shards(tmp_path, images, labels, origin, 3)
    found = SyntheticSet.open(tmp_path, manifest, kept=[1, 4, 8])
    assert torch.equal(found.labels(torch.tensor([2, 0])), labels[[8, 1]])
    assert found.origin == ("site_b", "site_a", "site_a")
    for kept in ([1, 1], [-1], [10]):
        with pytest.raises(PayloadError, match="kept"):
            SyntheticSet.open(tmp_path, manifest, kept)


def test_only_the_asked_shards_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels, origin = a_set()
    found = SyntheticSet.open(tmp_path, write_shards(tmp_path, images, labels, origin, 2))
    opened: list[str] = []
    original = synthetic.safe_open
    monkeypatch.setattr(synthetic, "safe_open", lambda path, **kw: opened.append(path.name) or original(path, **kw))
    found.images([3])
    assert opened == ["synthetic-00001.safetensors"]


def test_the_same_set_has_the_same_hashes(tmp_path: Path) -> None:
    images, labels, origin = a_set()
    first = write_shards(tmp_path / "1", images, labels, origin, 4)
    again = write_shards(tmp_path / "2", images, labels, origin, 4)
    other = write_shards(tmp_path / "3", images, labels, origin[::-1], 4)
    assert first == again
    assert first.sha256 != other.sha256


def test_damaged_shards_are_named(tmp_path: Path) -> None:
    images, labels, origin = a_set()
    manifest = write_shards(tmp_path, images, labels, origin, 4)
    shard = manifest.shards[1]
    path = tmp_path / shard.name
    whole = path.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    cases = [(whole[:-5], "truncated"), (whole + b"x", "too long"), (flipped, "hash")]
    for content, said in cases:
        path.write_bytes(content)
        with pytest.raises(PayloadError, match=said) as caught:
            SyntheticSet.open(tmp_path, manifest)
        assert caught.value.where == str(path)
    path.unlink()
    with pytest.raises(PayloadError, match="missing"):
        verify_shard(path, shard)


def test_a_shard_of_other_tensors_is_refused(tmp_path: Path) -> None:
    import hashlib
    from dataclasses import replace

    from dsfedmed.data.manifest import set_sha256

    images, labels, origin = a_set(4)
    manifest = write_shards(tmp_path, images, labels, origin, 4)
    row, ends = pack_png(images)
    whole = {"images": row, "images_ends": ends, "labels": row, "labels_ends": ends}
    others = (
        {"images": images, "labels": labels},
        {**whole, "images": row.float()},
        {**whole, "images_ends": ends[:-1]},
        {**whole, "labels_ends": ends.flip(0)},
        {**whole, "labels_ends": ends + 1},
        {**whole, "labels_ends": ends.clamp(max=int(ends[0]))},
    )
    forgeries = [save({key: tensor.clone() for key, tensor in tensors.items()}) for tensors in others]
    for payload in (*forgeries, b"not safetensors at all"):
        (tmp_path / manifest.shards[0].name).write_bytes(payload)
        shard = replace(manifest.shards[0], bytes=len(payload), sha256=hashlib.sha256(payload).hexdigest())
        forged = replace(manifest, shards=(shard,), sha256=set_sha256([shard], origin))
        with pytest.raises(PayloadError, match=r"the shard|the ends"):
            SyntheticSet.open(tmp_path, forged)


@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    images, labels, origin = a_set()
    monkeypatch.setattr(os, place, full)
    with pytest.raises(StoreError, match=r"disk is full; \d+ bytes are needed") as caught:
        write_shards(tmp_path, images, labels, origin, 4)
    assert caught.value.where == str(tmp_path / "synthetic-00000.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_comes_back_over_the_wire(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, *a_set(), shard_size=4)
    assert Manifest.from_dict(json.loads(json.dumps(manifest.to_dict()))) == manifest


def test_what_does_not_fit_is_not_written(tmp_path: Path) -> None:
    images, labels, origin = a_set()
    for bad in ((images.float(), labels, origin), (images[:, :, :4], labels, origin), (images, labels[:3], origin)):
        with pytest.raises(ValueError, match="images"):
            write_shards(tmp_path, *bad)
    with pytest.raises(ValueError, match="do not fit"):
        write_shards(tmp_path, images, labels, origin[:2])


@settings(deadline=None, max_examples=25)  # each writes files and waits for the disk
@given(st.lists(st.integers(0, 7), min_size=1, max_size=5).filter(any), st.integers(1, 6))
def test_parts_give_the_shards_of_the_whole(tmp_path_factory: Any, lengths: list[int], shard_size: int) -> None:
    images, labels, origin = a_set(sum(lengths))
    ends = list(itertools.accumulate(lengths))
    cuts = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
    parts = [(images[cut], labels[cut], origin[cut]) for cut in cuts]
    folder = tmp_path_factory.mktemp("set")
    whole = write_shards(folder / "whole", images, labels, origin, shard_size)
    assert write_parts(folder / "parts", iter(parts), shard_size) == whole


def test_shards_are_on_disk_before_the_next_part_is_asked_for(tmp_path: Path) -> None:
    images, labels, origin = a_set(10)
    there: list[int] = []

    def parts() -> Iterator[tuple[torch.Tensor, torch.Tensor, list[str]]]:
        for first in (0, 5):
            there.append(len(list(tmp_path.glob("*.safetensors"))))
            yield images[first : first + 5], labels[first : first + 5], origin[first : first + 5]

    write_parts(tmp_path, parts(), 2)
    assert there == [0, 2]


def test_parts_of_two_sizes_or_none_at_all_are_refused(tmp_path: Path) -> None:
    images, labels, origin = a_set(2)
    larger = images.repeat(1, 1, 2, 2), labels.repeat(1, 1, 2, 2), origin
    with pytest.raises(ValueError, match="of a part"):
        write_parts(tmp_path, [(images, labels, origin), larger])
    with pytest.raises(ValueError, match="without images"):
        write_parts(tmp_path, [])


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 17), st.integers(1, 6), st.data())
def test_any_positions_of_any_sharding(tmp_path_factory: Any, count: int, shard_size: int, data: Any) -> None:
    folder = tmp_path_factory.mktemp("set")
    images, labels, origin = a_set(count)
    found = SyntheticSet.open(folder, write_shards(folder, images, labels, origin, shard_size))
    positions = data.draw(st.lists(st.integers(0, count - 1), max_size=5))
    assert torch.equal(found.labels(positions), labels[positions])
