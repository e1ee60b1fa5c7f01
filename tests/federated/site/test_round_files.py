# SPDX-License-Identifier: Apache-2.0
"""What a site keeps from round to round: few files, never the round's own, and the best one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.errors import StoreError
from dsfedmed.federated.site.round_files import before_round, best_weights, keep_best, keep_round
from dsfedmed.federated.wire.message import CACHED_ROUNDS
from dsfedmed.store.files import read_json


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor([value])}


def test_a_round_reads_what_the_last_one_before_it_left(tmp_path: Path) -> None:
    assert before_round(tmp_path, "fedbn-", 9) == {}
    for number in (2, 3, 10):
        keep_round(tmp_path, "fedbn-", number, weights(number))
    keep_round(tmp_path, "fedbn-mean-", 5, weights(-5))
    keep_best(tmp_path, "fedbn", 3, 0.5, weights(-3))
    assert before_round(tmp_path, "fedbn-", 2) == {}
    assert [float(before_round(tmp_path, "fedbn-", number)["w"]) for number in (3, 4, 10, 11)] == [2, 3, 3, 10]


def test_a_round_that_is_kept_again_replaces_itself_and_old_ones_go(tmp_path: Path) -> None:
    for number in (*range(1, CACHED_ROUNDS + 3), CACHED_ROUNDS + 2):
        keep_round(tmp_path, "fedbn-", number, weights(number))
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [f"fedbn-{number:04d}.safetensors" for number in range(3, CACHED_ROUNDS + 3)]


def test_the_first_of_the_best_is_kept(tmp_path: Path) -> None:
    assert best_weights(tmp_path, "fedbn") == {}
    for number, dice in enumerate((0.4, 0.6, 0.5, 0.6), start=1):
        keep_best(tmp_path, "fedbn", number, dice, weights(number))
    assert float(best_weights(tmp_path, "fedbn")["w"]) == 2
    assert read_json(tmp_path / "fedbn-best.json") == {"round": 2, "validation_dice": 0.6}


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        keep_round(tmp_path, "../fedbn-", 1, weights(1))
