# SPDX-License-Identifier: Apache-2.0
"""The embedding cache: computed once, reused when valid, computed again when damaged or out of date."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.errors import DSFedMedError
from dsfedmed.training.distillation.embeddings import Embeddings, open_embeddings
from dsfedmed.training.pool import TensorPool
from tests.training.tiny_networks import TinyTeacher, squares


@pytest.fixture
def pool() -> TensorPool:
    return TensorPool(*squares(10))


def opened(folder: Path, teacher: TinyTeacher, pool: TensorPool, set_hash: str = "s") -> Embeddings:
    teacher.encoded = 0
    return open_embeddings(folder, teacher, pool, set_hash, batch_size=4)


def test_embeddings_are_those_of_the_encoder_in_half_precision(
    tmp_path: Path, teacher: TinyTeacher, pool: TensorPool
) -> None:
    embeddings = opened(tmp_path, teacher, pool)
    with torch.no_grad():
        expected = teacher.encode(pool.images([7, 2])).half().float()
    assert torch.equal(embeddings.read([7, 2]), expected)
    assert len(embeddings) == 10
    assert embeddings.path.stat().st_size == 10 * 12 * 4 * 4 * 2 + 128


def test_progress_is_reported(tmp_path: Path, teacher: TinyTeacher, pool: TensorPool) -> None:
    steps: list[tuple[int, int]] = []
    open_embeddings(
        tmp_path, teacher, pool, "s", batch_size=4, on_batch=lambda done, total: steps.append((done, total))
    )
    assert steps == [(4, 10), (8, 10), (10, 10)]


def test_a_valid_file_is_reused_after_the_decoder_learned(
    tmp_path: Path, teacher: TinyTeacher, pool: TensorPool
) -> None:
    opened(tmp_path, teacher, pool)
    assert teacher.encoded == 10
    torch.nn.init.ones_(teacher.mask_decoder[1].weight)
    opened(tmp_path, teacher, pool)
    assert teacher.encoded == 0


def test_other_encoder_weights_or_another_set_make_another_file(
    tmp_path: Path, teacher: TinyTeacher, pool: TensorPool
) -> None:
    first = opened(tmp_path, teacher, pool).path
    second = opened(tmp_path, teacher, pool, set_hash="other").path
    assert teacher.encoded == 10
    with torch.no_grad():
        teacher.image_encoder[0].bias[0] += 1e-3
    third = opened(tmp_path, teacher, pool).path
    assert teacher.encoded == 10
    assert len({first, second, third}) == 3


def test_a_shorter_format_of_the_encoder_is_near_and_lies_in_a_file_of_its_own(
    tmp_path: Path, teacher: TinyTeacher, pool: TensorPool
) -> None:
    whole = opened(tmp_path, teacher, pool)
    formats: set[torch.dtype] = set()
    teacher.image_encoder[2].register_forward_hook(lambda module, images, values: formats.add(values.dtype))
    short = open_embeddings(tmp_path, teacher, pool, "s", precision="bfloat16")
    assert formats == {torch.bfloat16}
    assert short.path != whole.path
    every = list(range(10))
    torch.testing.assert_close(short.read(every), whole.read(every), atol=0.01, rtol=0.02)
    assert not torch.equal(short.read(every), whole.read(every))


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damage_flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def damage_no_side_file(path: Path) -> None:
    path.with_suffix(".json").unlink()


def damage_side_file(path: Path) -> None:
    path.with_suffix(".json").write_text("{", encoding="utf-8")


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_no_side_file, damage_side_file, Path.unlink])
def test_a_damaged_file_is_computed_again(
    tmp_path: Path, teacher: TinyTeacher, pool: TensorPool, damage: object
) -> None:
    whole = opened(tmp_path, teacher, pool)
    expected = whole.read(list(range(10)))
    path = whole.path
    del whole
    damage(path)  # type: ignore[operator]
    again = opened(tmp_path, teacher, pool)
    assert teacher.encoded == 10
    assert torch.equal(again.read(list(range(10))), expected)


def test_values_beyond_half_precision_are_refused_and_leave_no_file(
    tmp_path: Path, teacher: TinyTeacher, pool: TensorPool
) -> None:
    torch.nn.init.constant_(teacher.image_encoder[2].bias, 1e6)
    with pytest.raises(DSFedMedError, match="not finite in fp16"):
        opened(tmp_path, teacher, pool)
    assert list(tmp_path.glob("*.npy")) == []
