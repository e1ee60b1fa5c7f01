# SPDX-License-Identifier: Apache-2.0
"""Training the light network: step counts, alternation, the synthetic loss by hand, replay, and bad losses."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from monai.losses import DiceCELoss
from monai.transforms import Compose, RandFlipd
from torch.nn import functional

from dsfedmed.algorithms.ignored_pixels import ValidPixelLoss
from dsfedmed.algorithms.soft_divergence import soft_kl
from dsfedmed.errors import ConfigError, DataError, DSFedMedError
from dsfedmed.training.light import LocalTraining, TrainingSummary, train_light
from dsfedmed.training.pool import TensorPool
from dsfedmed.training.step_rules import StepRules
from dsfedmed.training.synthetic_source import SyntheticSource
from dsfedmed.training.task import LabelledImages, TrainingTask
from dsfedmed.training.teacher.adapt import pool_dice
from tests.training.tiny_networks import TinyLight, squares

bce = functional.binary_cross_entropy_with_logits


def trained(light: TinyLight, **options: object) -> TrainingSummary:
    """Train on ``pairs`` (10 squares); other options are those of the task, of the call, or the optimiser and rate."""
    images, labels = options.pop("pairs", None) or squares(10)  # type: ignore[misc]
    settings: dict[str, object] = {
        "loss": bce,
        "augmentation": None,
        "batch_size": 4,
        "seed": 0,
        "rate": 1e-2,
        **options,
    }
    of_task, of_call = (
        {field.name: settings.pop(field.name) for field in dataclasses.fields(kind) if field.name in settings}
        for kind in (TrainingTask, LocalTraining)
    )
    rate, optimizer = settings.pop("rate"), settings.pop("optimizer", None)
    optimizer = optimizer or torch.optim.Adam(light.parameters(), lr=rate)  # type: ignore[arg-type]
    task, training = TrainingTask(1, True, **of_task), LocalTraining(**of_call)  # type: ignore[arg-type]
    return train_light(light, optimizer, LabelledImages(images, labels), task, training, **settings)  # type: ignore[arg-type]


def test_an_epoch_sees_every_image_once(light: TinyLight) -> None:
    summary = trained(light, epochs=2)
    assert (summary.steps, summary.samples, summary.synthetic_steps, summary.synthetic_samples) == (6, 20, 0, 0)
    assert summary.mean_synthetic_loss is None


def test_synthetic_steps_alternate_and_are_counted(light: TinyLight) -> None:
    images, labels = squares(9, seed=2)
    source = SyntheticSource(images + 0.001, labels, None, supervised_weight=1.0, kl_weight=0.0)
    seen: list[tuple[int, int]] = []
    losses: list[float] = []

    def on_step(done: int, total: int, loss: float) -> None:
        seen.append((done, total))
        losses.append(loss)

    summary = trained(light, epochs=1, synthetic=source, on_step=on_step)
    assert (summary.steps, summary.synthetic_steps, summary.samples) == (6, 3, 10)
    assert seen == [(step, 6) for step in range(1, 7)]
    assert summary.mean_loss == pytest.approx(sum(losses[0::2]) / 3)
    assert summary.mean_synthetic_loss == pytest.approx(sum(losses[1::2]) / 3)


@pytest.mark.parametrize(("steps", "synthetic_steps"), [(1, 0), (2, 1), (7, 3)])
def test_a_given_number_of_steps_counts_both_kinds(light: TinyLight, steps: int, synthetic_steps: int) -> None:
    source = SyntheticSource(*squares(3, seed=2))
    summary = trained(light, steps=steps, synthetic=source)
    assert (summary.steps, summary.synthetic_steps) == (steps, synthetic_steps)
    assert trained(light, steps=steps).synthetic_steps == 0


@pytest.mark.parametrize("divergence", ["forward", "symmetric"])
def test_the_synthetic_loss_by_hand(light: TinyLight, divergence: str) -> None:
    images, labels = squares(4, seed=2)
    soft = (torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
    bytes_ = (images.clamp(0, 1) * 255).to(torch.uint8)
    source = SyntheticSource(bytes_, labels, soft, 0.25, 2.5, divergence)  # type: ignore[arg-type]
    with torch.no_grad():
        logits = light(bytes_ / 255)
        full = functional.interpolate(soft / 255, size=(16, 16), mode="bilinear")
        distance = soft_kl(full, logits, symmetric=divergence == "symmetric").mean()
        expected = 0.25 * bce(logits, labels.float()) + 2.5 * distance
    summary = trained(light, steps=2, synthetic=source, rate=0.0)
    assert summary.mean_synthetic_loss == pytest.approx(float(expected), rel=1e-5)


def test_soft_labels_alone_teach_the_light_network(light: TinyLight) -> None:
    images, labels = squares(32, seed=2)
    wrong = squares(8)[0], torch.zeros(8, 1, 16, 16, dtype=torch.uint8)
    source = SyntheticSource(images, labels, labels.float(), supervised_weight=0.0, kl_weight=20.0)
    trained(light, pairs=wrong, epochs=60, synthetic=source, rate=2e-2, loss=lambda z, y: 0.01 * bce(z, y))
    assert pool_dice(light, TensorPool(*squares(16, seed=3)), nested=True) > 0.8


def test_the_network_learns(light: TinyLight) -> None:
    first = trained(light, epochs=1, loss=DiceCELoss(sigmoid=True)).mean_loss
    last = trained(light, epochs=20, loss=DiceCELoss(sigmoid=True), rate=2e-2).mean_loss
    assert last < 0.8 * first


def test_the_same_seed_replays_with_augmentation(light: TinyLight) -> None:
    keys = ["image", "label", "soft"]
    flips = Compose([RandFlipd(keys, prob=0.5, spatial_axis=0, allow_missing_keys=True)])
    images, labels = squares(6, seed=2)
    twins = [copy.deepcopy(light) for _ in range(3)]
    for network, seed in zip(twins, (5, 5, 6), strict=True):
        source = SyntheticSource(images, labels, labels.float())
        trained(network, epochs=2, augmentation=flips, seed=seed, synthetic=source)
    weights = [network.layers[0].weight for network in twins]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_optimiser_goes_on_from_call_to_call(light: TinyLight) -> None:
    optimizer = torch.optim.Adam(light.parameters(), lr=1e-3)
    trained(light, epochs=1, optimizer=optimizer)
    trained(light, epochs=1, optimizer=optimizer)
    assert int(optimizer.state[light.layers[0].weight]["step"]) == 6


def test_bfloat16_comes_close_to_float32(light: TinyLight) -> None:
    twin = copy.deepcopy(light)
    exact = trained(light, epochs=3).mean_loss
    assert trained(twin, epochs=3, precision="bfloat16").mean_loss == pytest.approx(exact, rel=0.02)
    assert all(value.dtype == torch.float32 for value in twin.parameters())


def test_a_loss_that_is_not_finite_names_the_site_and_spares_the_weights(light: TinyLight) -> None:
    images, labels = squares(4)
    images[2, 0, 0, 0] = float("inf")
    before = copy.deepcopy(light.state_dict())
    with pytest.raises(DSFedMedError, match="hospital_x: the loss is"):
        trained(light, pairs=(images, labels), epochs=1, where="hospital_x")
    assert all(torch.equal(value, before[name]) for name, value in light.state_dict().items())


def test_wrong_calls_are_refused(light: TinyLight) -> None:
    with pytest.raises(ConfigError, match="epochs or steps"):
        trained(light)
    with pytest.raises(ConfigError, match="epochs or steps"):
        trained(light, epochs=1, steps=1)
    with pytest.raises(ConfigError, match="not above 0"):
        trained(light, steps=0)
    images, labels = squares(4)
    with pytest.raises(DataError, match="no training images"):
        trained(light, pairs=(images[:0], labels[:0]), epochs=1)


def test_dropout_repeats_with_the_seed_and_whatever_was_drawn_before() -> None:
    def run(seed: int, before: int) -> torch.Tensor:
        torch.manual_seed(1)
        network = torch.nn.Sequential(TinyLight(), torch.nn.Dropout(0.5))
        torch.rand(before)
        trained(network, epochs=1, seed=seed)  # type: ignore[arg-type]
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert torch.equal(run(3, before=0), run(3, before=7))
    assert not torch.equal(run(3, before=0), run(4, before=0))


def test_the_proximal_term_holds_the_weights_near_their_start() -> None:
    """The larger mu, the shorter the way; its gradient is mu (w - w_0), which one step by hand shows."""
    ways = []
    for mu in (0.0, 0.3, 3.0):
        light = TinyLight()
        start = [parameter.detach().clone() for parameter in light.parameters()]
        trained(light, epochs=6, proximal=mu)
        ways.append(sum(float((p.detach() - s).square().sum()) for p, s in zip(light.parameters(), start, strict=True)))
    assert ways[0] > ways[1] > ways[2] > 0
    first, same = TinyLight(), TinyLight()
    same.load_state_dict(first.state_dict())
    trained(first, steps=1)
    trained(same, steps=1, proximal=5.0)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True)), (
        "nothing moved yet"
    )


def test_a_joint_batch_is_part_of_the_real_step(light: TinyLight) -> None:
    """One step on BCE(real) + 0.5 BCE(synthetic), by plain gradient descent."""
    images, labels = squares(4)
    more, masks = squares(4, seed=2)
    twin = copy.deepcopy(light)
    value = bce(twin(images), labels.float()) + 0.5 * bce(twin(more), masks.float())
    value.backward()
    joint = SyntheticSource(more, masks, None, supervised_weight=0.5, kl_weight=0.0)
    optimizer = torch.optim.SGD(light.parameters(), lr=0.1)
    summary = trained(light, pairs=(images, labels), epochs=1, joint=joint, optimizer=optimizer)
    for parameter, other in zip(light.parameters(), twin.parameters(), strict=True):
        assert other.grad is not None
        assert torch.allclose(parameter, other - 0.1 * other.grad, atol=1e-6)
    assert (summary.steps, summary.synthetic_steps, summary.samples, summary.synthetic_samples) == (1, 0, 4, 4)
    assert summary.mean_loss == pytest.approx(float(value.detach()), rel=1e-5)


def test_the_rules_pace_and_bound_the_steps(light: TinyLight) -> None:
    """Clipped to a norm of 0.01 at a quarter of the rate 2, the weights move by 0.005."""
    images, labels = squares(4)
    before = [parameter.detach().clone() for parameter in light.parameters()]
    optimizer = torch.optim.SGD(light.parameters(), lr=2.0)
    rules = StepRules(rate_factor=0.5, ramp_steps=2, clip_norm=0.01)
    trained(light, pairs=(images, labels), epochs=1, optimizer=optimizer, rules=rules)
    moved = (
        sum(float((new.detach() - old).square().sum()) for new, old in zip(light.parameters(), before, strict=True))
        ** 0.5
    )
    assert moved == pytest.approx(2.0 * 0.5 * 0.5 * 0.01, rel=1e-4)
    assert optimizer.param_groups[0]["lr"] == 2.0


@pytest.mark.parametrize("kind", ["real", "joint", "proximal", "synthetic"])
def test_what_lies_under_ignored_pixels_teaches_nothing(kind: str) -> None:
    """Of a network that sees one pixel at a time: whatever the images are there, the weights get the same bits."""
    images, labels = squares(8)
    labels[:, :, :5] = 255
    other = images.clone()
    other[:, :, :5] = 0.9
    weights = []
    for given in (images, other):
        torch.manual_seed(0)
        light = torch.nn.Conv2d(1, 1, 1)
        source = SyntheticSource(given, labels, torch.full((8, 1, 16, 16), 0.7), 1.0, 1.0)
        options = {"joint": source} if kind == "joint" else {"synthetic": source} if kind == "synthetic" else {}
        options |= {"proximal": 0.1} if kind == "proximal" else {}
        summary = trained(light, pairs=(given, labels), loss=ValidPixelLoss(bce), steps=4, **options)  # type: ignore[arg-type]
        assert summary.steps == 4
        weights.append(light.weight.detach().clone())
    assert torch.equal(*weights)
    torch.manual_seed(0)
    assert not torch.equal(weights[0], torch.nn.Conv2d(1, 1, 1).weight)


def test_a_loss_that_forgets_ignored_pixels_stops_the_training(light: TinyLight) -> None:
    images, labels = squares(4)
    labels[0, 0, 0, 0] = 255
    with pytest.raises(DSFedMedError, match="the loss is nan"):
        trained(light, pairs=(images, labels), epochs=1)
