# SPDX-License-Identifier: Apache-2.0
"""A base trained on public images: how its learning rate goes, that it learns, and that it repeats."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from dsfedmed.data.demo.public import make_public_shapes
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.generator import GeneratorConfig
from dsfedmed.training import pretrain_base as module
from dsfedmed.training.pretrain_base import BaseTraining, load_public_images, paced_rates, pretrain_base, share_done
from tests.runs.smoke import remove_labels

CONFIG = GeneratorConfig(
    image_size=16, channels=3, unshuffle=2, block_out_channels=(8, 16), attention_head_channels=8, norm_groups=4,
    batch_size=8, base_learning_rate=3e-3, warmup_steps=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    make_public_shapes(folder, count=24)
    remove_labels(folder, ["rings"])
    return folder


@pytest.fixture(scope="module")
def images(shapes: Path) -> torch.Tensor:
    return torch.cat(list(load_public_images(sorted(shapes.iterdir()), CONFIG).values()))


def test_folders_are_read_with_labels_and_without(shapes: Path, images: torch.Tensor) -> None:
    found = load_public_images([shapes / "polygons", shapes / "rings"], CONFIG)
    assert {name: tuple(part.shape) for name, part in found.items()} == {
        "public/polygons": (7, 3, 16, 16), "public/rings": (7, 3, 16, 16),
    }  # fmt: skip
    assert images.dtype == torch.uint8
    with pytest.raises(ConfigError, match="is called public/rings, as another folder is"):
        load_public_images([shapes / "rings", shapes / "rings"], CONFIG)
    with pytest.raises(DataError, match="the file is missing"):
        load_public_images([shapes], CONFIG)


def test_the_loss_falls(images: torch.Tensor) -> None:
    losses: list[float] = []
    _, loss = pretrain_base(images, CONFIG, BaseTraining(24), lambda _, value: losses.append(value))
    assert sum(losses[-6:]) < 0.9 * sum(losses[:6])
    assert loss == pytest.approx(sum(losses) / 24)


def test_the_same_seed_gives_the_same_base(images: torch.Tensor) -> None:
    bases = [pretrain_base(images, CONFIG, BaseTraining(2, seed=seed))[0].state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(tensor, bases[1][name]) for name, tensor in bases[0].items())
    assert any(not torch.equal(tensor, bases[2][name]) for name, tensor in bases[0].items())


def test_the_learning_rate_rises_and_falls_by_steps() -> None:
    rates = list(paced_rates(CONFIG, BaseTraining(4)))
    expected = [rise * (1 + math.cos(math.pi * step / 4)) / 2 for step, rise in enumerate((1 / 3, 2 / 3, 1, 1))]
    assert rates == pytest.approx([3e-3 * value for value in expected])


def test_the_clock_ends_it_where_that_is_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute, and every step takes twenty seconds: three steps of a thousand."""
    now = iter(range(0, 1000, 20))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now) - 20.0)
    rates = list(paced_rates(CONFIG, BaseTraining(1000, minutes=1.0)))
    assert len(rates) == 2, "the first question comes after twenty seconds, the third after sixty"
    assert share_done(10, 30.0, BaseTraining(1000, minutes=1.0)) == 0.5
    assert share_done(10, 30.0, BaseTraining(40)) == 0.25


@pytest.mark.parametrize("values", [{"steps": 0}, {"minutes": 0.0}, {"minutes": math.nan}, {"seed": -1}])
def test_what_trains_nothing_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="pretrain "):
        BaseTraining(**values)  # type: ignore[arg-type]
