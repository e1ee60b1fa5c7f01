# SPDX-License-Identifier: Apache-2.0
"""Seeds are valid files of every format, and a number gives the same damaged bytes each time."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from dsfedmed.data.files.kinds import Kind
from dsfedmed_benchmarks.fuzz.damage import DAMAGES, cut
from dsfedmed_benchmarks.fuzz.damaged import damaged
from dsfedmed_benchmarks.fuzz.pictures import picture_seeds
from dsfedmed_benchmarks.fuzz.seed import DATALIST
from dsfedmed_benchmarks.fuzz.seeds import all_seeds
from dsfedmed_benchmarks.fuzz.trial import READ, try_datalist, try_image
from dsfedmed_benchmarks.fuzz.wrapped import png_chunks, within_gzip, within_json, within_png


def test_every_seed_is_read(tmp_path: Path) -> None:
    for seed in all_seeds():
        target = seed.write(tmp_path / seed.name)
        outcome = try_datalist(target) if seed.kind == DATALIST else try_image(target)
        assert outcome.kind == READ, f"{seed.name}: {outcome.text}"
    assert {seed.kind for seed in all_seeds()} == {DATALIST, *(kind.value for kind in Kind)}
    assert len({seed.name for seed in all_seeds()}) == len(all_seeds()) >= 30


def test_a_number_says_all_of_a_damaged_file() -> None:
    all_seeds.cache_clear()
    first = [damaged(number, 7) for number in range(200)]
    all_seeds.cache_clear()
    again = [damaged(number, 7) for number in range(200)]
    assert [one.content for one in first] == [one.content for one in again]
    assert [damaged(number, 8).content for number in range(200)] != [one.content for one in first]
    changed = [one.content != one.seed.files[one.seed.harmed] for one in first]
    assert sum(changed) > 180


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_no_damage_fails_on_a_short_file(damage: object) -> None:
    for number in range(50):
        assert isinstance(damage(b"P", random.Random(number)), bytes)  # type: ignore[operator]


def test_damage_within_a_packed_stream_and_within_a_png_keeps_the_check_sums() -> None:
    assert len(gzip.decompress(within_gzip(gzip.compress(b"x" * 500), random.Random(1), cut))) < 500
    whole = next(seed for seed in picture_seeds() if seed.name == "png-rgb")
    content = within_png(whole.files[whole.harmed], random.Random(1), cut)
    assert content != whole.files[whole.harmed]
    assert [name for name, _ in png_chunks(content)] == [name for name, _ in png_chunks(whole.files[whole.harmed])]


def test_damage_within_a_datalist_stays_json() -> None:
    text = json.dumps({"a": [1, {"b": "c"}], "d": None}).encode()
    found = {within_json(text, random.Random(number)) for number in range(60)}
    assert len(found) > 30
    assert all(json.loads(one) is not ... for one in found)
