# SPDX-License-Identifier: Apache-2.0
"""Mutual distillation over a pool: what is forwarded, what moves, what is recorded, and resuming."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsfedmed.algorithms.distillation import DistillationConfig
from dsfedmed.algorithms.losses import bce_per_sample, symmetric_kl_per_sample
from dsfedmed.errors import DSFedMedError
from dsfedmed.training.distillation.config import ServerDistillationConfig
from dsfedmed.training.distillation.embeddings import open_embeddings
from dsfedmed.training.distillation.mutual import MutualDistiller
from dsfedmed.training.distillation.record import DistillationRecord
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors
from dsfedmed.training.pool import TensorPool, at_size, mask_at_size
from dsfedmed.training.teacher.adapt import adapt_on_pool, pool_dice
from dsfedmed.training.teacher.config import TeacherConfig
from tests.training.tiny_networks import SIZE, TinyLight, TinyTeacher, squares

POOL = TensorPool(*squares(24, seed=5))
SERVER = ServerDistillationConfig(
    batch_size=4, score_batch_size=8, teacher_learning_rate=5e-3, student_learning_rate=5e-3
)


def distiller(
    folder: Path,
    teacher: TinyTeacher,
    light: TinyLight,
    config: DistillationConfig | None = None,
    server: ServerDistillationConfig = SERVER,
) -> MutualDistiller:
    embeddings = open_embeddings(folder, teacher, POOL, "set")
    teacher.encoded = teacher.decoded = light.seen_with_gradient = 0
    return MutualDistiller(teacher, light, POOL, embeddings, 1, True, config or DistillationConfig(), server)


def moved(before: dict[str, torch.Tensor], network: torch.nn.Module) -> set[str]:
    after = network.state_dict()
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_scores_are_those_of_the_losses_on_the_teachers_grid(
    tmp_path: Path, teacher: TinyTeacher, light: TinyLight
) -> None:
    scores = distiller(tmp_path, teacher, light, DistillationConfig(lam=0.25, normalise=False)).score()
    indices = list(range(24))
    with torch.no_grad():
        low = teacher.decode(teacher.encode(POOL.images(indices)).half().float())
        student = at_size(light(POOL.images(indices)), low.shape[-2:])
        target = mask_at_size(POOL.labels(indices).float(), low.shape[-2:])
    assert low.shape[-2:] == (SIZE // 2, SIZE // 2)
    torch.testing.assert_close(scores.teacher_loss, bce_per_sample(low, target, 2.0))
    torch.testing.assert_close(scores.student_loss, bce_per_sample(student, target, 2.0))
    torch.testing.assert_close(scores.disagreement, symmetric_kl_per_sample(low, student))
    torch.testing.assert_close(scores.scores, -0.25 * scores.teacher_loss + 0.75 * scores.disagreement)


@pytest.mark.parametrize(("learn", "modes"), [("both", (True, True)), ("teacher", (True, False))])
def test_networks_score_in_evaluation_and_learn_in_training_mode(
    tmp_path: Path, teacher: TinyTeacher, light: TinyLight, learn: str, modes: tuple[bool, bool]
) -> None:
    seen: list[tuple[bool, bool]] = []
    made = distiller(tmp_path, teacher, light, server=replace(SERVER, learn=learn))
    light.register_forward_hook(lambda *_: seen.append((teacher.training, light.training)))
    made.run(1, seed=0)
    scoring, steps = seen[:3], seen[3:]
    assert scoring == [(False, False)] * 3
    assert steps
    assert set(steps) == {modes}


@pytest.mark.parametrize("rule", ["top", "softmax"])
def test_only_selected_samples_are_forwarded_with_gradients_and_the_encoder_never_runs(
    tmp_path: Path, teacher: TinyTeacher, light: TinyLight, rule: str
) -> None:
    config = DistillationConfig(rule=rule, rate=0.25)  # type: ignore[arg-type]
    record = distiller(tmp_path, teacher, light, config).run(1, seed=0)[0]
    assert (record.pool, record.selected, record.steps) == (24, 6, 2)
    assert light.seen_with_gradient == 6
    assert (teacher.encoded, teacher.decoded) == (0, 24 + 6)


def test_the_released_rule_forwards_all_and_distils_half_of_each_batch(
    tmp_path: Path, teacher: TinyTeacher, light: TinyLight
) -> None:
    record = distiller(tmp_path, teacher, light, DistillationConfig(rule="batch_quantile")).run(1, seed=0)[0]
    assert (record.selected, record.steps) == (12, 6)
    assert light.seen_with_gradient == 24


@pytest.mark.parametrize(
    ("learn", "teacher_parts", "light_parts"),
    [("both", {"mask_decoder"}, {"layers"}), ("teacher", {"mask_decoder"}, set()), ("student", set(), {"layers"})],
)
def test_who_learns(
    tmp_path: Path, teacher: TinyTeacher, light: TinyLight, learn: str, teacher_parts: set[str], light_parts: set[str]
) -> None:
    before = copy.deepcopy(teacher.state_dict()), copy.deepcopy(light.state_dict())
    server = replace(SERVER, learn=learn)  # type: ignore[arg-type]
    distiller(tmp_path, teacher, light, server=server).run(1, seed=0)
    assert moved(before[0], teacher) == teacher_parts
    assert moved(before[1], light) == light_parts


def test_the_light_network_learns_from_an_adapted_teacher(
    tmp_path: Path, teacher: TinyTeacher, light: TinyLight
) -> None:
    adapt_on_pool(teacher, TensorPool(*squares(48)), TeacherConfig(epochs=20, batch_size=8, learning_rate=0.02), seed=0)
    before = pool_dice(light, POOL, nested=True)
    config = DistillationConfig(supervised_weight=0.0, kl_weight=1.0, rate=1.0)
    server = replace(SERVER, learn="student", grid="student", student_learning_rate=0.02)
    records = distiller(tmp_path, teacher, light, config, server).run(12, seed=0)
    assert records[-1].pool_disagreement < 0.3 * records[0].pool_disagreement
    assert pool_dice(light, POOL, nested=True) > before + 0.2


def test_the_record_is_whole(tmp_path: Path, teacher: TinyTeacher, light: TinyLight) -> None:
    seen: list[DistillationRecord] = []
    records = distiller(tmp_path, teacher, light).run(2, seed=0, on_epoch=seen.append)
    assert seen == records
    for epoch, record in enumerate(records):
        assert record.epoch == epoch
        assert record.score_mean == pytest.approx(0.0, abs=1e-5)
        assert record.selected_score_mean > record.score_mean
        assert sum(record.histogram_pool) == record.pool == 24
        assert sum(record.histogram_selected) == record.selected == 12
        assert len(record.histogram_edges) == len(record.histogram_pool) + 1
        assert all(s <= p for s, p in zip(record.histogram_selected, record.histogram_pool, strict=True))
        assert json.loads(json.dumps(record.to_dict()))["kl"] == record.kl > 0


def test_interleaved_and_resumed_calls_equal_one_long_call(
    tmp_path: Path, teacher: TinyTeacher, light: TinyLight
) -> None:
    config = DistillationConfig(rule="softmax")
    nets = [(copy.deepcopy(teacher), copy.deepcopy(light)) for _ in range(2)]
    long = distiller(tmp_path, *nets[0], config)
    expected = long.run(4, seed=7)
    short = distiller(tmp_path, *nets[1], config)
    found = short.run(2, seed=7)
    resumed = distiller(tmp_path, *nets[1], config)
    resumed.epoch = short.epoch
    for old, new in (
        (short.teacher_optimizer, resumed.teacher_optimizer),
        (short.student_optimizer, resumed.student_optimizer),
    ):
        load_optimizer_state(new, optimizer_state_tensors(old), "distillation")
    found += resumed.run(2, seed=7)
    assert [replace(record, seconds=0.0) for record in found] == [replace(record, seconds=0.0) for record in expected]
    for one, two in zip(nets[0][1].parameters(), nets[1][1].parameters(), strict=True):
        assert torch.equal(one, two)


def test_embeddings_of_another_set_are_refused(tmp_path: Path, teacher: TinyTeacher, light: TinyLight) -> None:
    other = open_embeddings(tmp_path, teacher, TensorPool(*squares(5)), "other")
    with pytest.raises(DSFedMedError, match="5 embeddings for 24 samples"):
        MutualDistiller(teacher, light, POOL, other, 1)


def test_a_diverged_network_stops_the_distillation(tmp_path: Path, teacher: TinyTeacher, light: TinyLight) -> None:
    torch.nn.init.constant_(light.layers[0].weight, float("nan"))
    with pytest.raises(DSFedMedError, match="24 of 24 values are not finite"):
        distiller(tmp_path, teacher, light).run(1, seed=0)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_mixed_precision_follows_float32(tmp_path: Path, teacher: TinyTeacher, light: TinyLight, kind: str) -> None:
    nets = [(copy.deepcopy(teacher), copy.deepcopy(light)) for _ in range(2)]
    config = DistillationConfig(rate=1.0)
    expected = distiller(tmp_path, *nets[0], config).run(3, seed=0)
    formats: set[torch.dtype] = set()
    for module in (nets[1][0].mask_decoder[1], nets[1][1].layers[2]):
        module.register_forward_hook(lambda module, images, logits: formats.add(logits.dtype))
    short = distiller(tmp_path, *nets[1], config, replace(SERVER, autocast=kind))  # type: ignore[arg-type]
    found = short.run(3, seed=0)
    assert formats == {getattr(torch, kind)}
    assert all(value.dtype == torch.float32 for value in [*nets[1][0].parameters(), *nets[1][1].parameters()])
    assert short.score().scores.dtype == torch.float32
    for one, two in zip(expected, found, strict=True):
        assert two.overflows == 0
        for name in ("pool_teacher_loss", "pool_disagreement", "teacher_loss", "student_loss", "kl"):
            assert getattr(two, name) == pytest.approx(getattr(one, name), rel=0.03)


def test_channels_last_gives_the_same_and_leaves_plain_weights(
    tmp_path: Path, teacher: TinyTeacher, light: TinyLight
) -> None:
    nets = [(copy.deepcopy(teacher), copy.deepcopy(light)) for _ in range(2)]
    expected = distiller(tmp_path, *nets[0]).run(2, seed=0)
    seen: set[bool] = set()
    nets[1][1].layers[2].register_forward_hook(
        lambda module, images, logits: seen.add(images[0].is_contiguous(memory_format=torch.channels_last))
    )
    found = distiller(tmp_path, *nets[1], server=replace(SERVER, channels_last=True)).run(2, seed=0)
    assert seen == {True}
    assert [record.kl for record in found] == pytest.approx([record.kl for record in expected], rel=1e-3)
    for one, two in zip(nets[0][1].parameters(), nets[1][1].parameters(), strict=True):
        assert two.is_contiguous()
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-3)


class SamLight(TinyTeacher):
    """A light network that is a SAM too: it counts how often it gives logits at the image's size."""

    whole = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.whole += 1
        return super().forward(images)


@pytest.mark.parametrize(("grid", "size", "whole"), [("teacher", SIZE // 2, 0), ("student", SIZE, 1)])
def test_a_sam_as_light_network_is_compared_at_its_own_resolution(
    tmp_path: Path, teacher: TinyTeacher, grid: str, size: int, whole: int
) -> None:
    light = SamLight()
    server = replace(SERVER, grid=grid)  # type: ignore[arg-type]
    both = distiller(tmp_path, teacher, light, server=server)  # type: ignore[arg-type]
    logits = both._forward([0, 1], teacher_learns=False, student_learns=False)
    assert all(tensor.shape == (2, 1, size, size) for tensor in logits)
    assert light.whole == whole
    assert torch.equal(
        logits[1], light(POOL.images([0, 1])) if whole else light.decode(light.encode(POOL.images([0, 1])))
    )


def test_a_float16_overflow_leaves_the_step_out_and_is_counted(
    tmp_path: Path, teacher: TinyTeacher, light: TinyLight
) -> None:
    before = copy.deepcopy(light.state_dict())
    scaled = distiller(tmp_path, teacher, light, server=replace(SERVER, autocast="float16"))
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126)
    record = scaled.run(1, seed=0)[0]
    assert record.overflows == record.steps == 3
    assert scaled.scaler.get_scale() == 2.0**123
    assert moved(before, light) == set()
