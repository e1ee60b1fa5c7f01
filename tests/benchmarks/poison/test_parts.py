# SPDX-License-Identifier: Apache-2.0
"""Bad parts by hand, and the table of a stand-in for a finished run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from dsfedmed.data.arrays import SiteArrays
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.robust.part_training import HalvedPart
from dsfedmed.store.stage_store import StageResult
from dsfedmed_benchmarks.poison.parts import HONEST, KINDS, Case, spoilt, tables
from tests.federated.tiny import noise_manifest, tiny_plan, tiny_settings

SITES = ("site_a", "site_b", "site_c")
SMALL = {"light_settings": {"channels": [4, 8], "strides": [2], "residual_units": 0}}


def part() -> HalvedPart:
    images = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 1, 8, 8).contiguous()
    labels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    for number in range(4):
        labels[number, 0, number, 0] = 1
    return HalvedPart(images[:2], labels[:2], images[2:], labels[2:])


def test_bad_parts_by_hand() -> None:
    honest = part()
    assert torch.equal(spoilt(honest, "inverted").labels, 1 - honest.labels)
    assert spoilt(honest, "shifted by 25 %").labels[0, 0].nonzero().tolist() == [[2, 2]]
    mixed = spoilt(honest, "of other images")
    rows = torch.cat([mixed.labels, mixed.held_labels]).nonzero()[:, 2].tolist()
    assert sorted(rows) == [0, 1, 2, 3]
    assert rows != [0, 1, 2, 3]
    one = spoilt(honest, "one picture for all")
    assert not torch.cat([one.images, one.held_images]).any()
    assert torch.equal(one.held_labels, honest.held_labels)


def test_the_table_has_a_row_for_every_case(tmp_path: Path) -> None:
    manifest = noise_manifest(tmp_path / "synthetic", [site for site in SITES for _ in range(4)])
    stored = {"synthesise": manifest.to_dict(), "audit": {"kept": list(range(12))}}
    noise = torch.rand(2, 1, 32, 32)
    arrays = SiteArrays(noise, (noise > 0.5).to(torch.uint8), ("", ""))
    finished: Any = SimpleNamespace(
        plan=tiny_plan(tiny_settings(robust={"part_steps": 1, "part_margin": 1.0}, **SMALL), site_c=4),
        store=SimpleNamespace(get=lambda stage: StageResult(stored[stage], {})),
        sources=SITES, party=PartyConfig(), validation=lambda _: arrays,
    )  # fmt: skip
    cases = [Case("site_a", HONEST, False), *(Case("site_b", kind, True) for kind in KINDS)]
    *_, last = tables(finished, tmp_path, cases, "parts")
    assert [row[:3] for row in last.rows[:2]] == [["none", "honest", "right"], ["site_b", "inverted", "wrong"]]
    assert len(last.rows) == len(cases)
    assert {row[3] for row in last.rows} == {None}, "four pairs are too few"
    assert {row[7] for row in last.rows} == {"nothing"}
    assert last.notes[-1] == f"{len(cases)} of {len(cases)} rows."
