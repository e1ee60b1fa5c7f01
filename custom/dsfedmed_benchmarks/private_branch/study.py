# SPDX-License-Identifier: Apache-2.0
"""One site's branch beside a given base, fitted as it is, clipped, and with noise for an epsilon; and what it is worth.

Worth: the light network is trained on images drawn from the branch under deformed masks, on nothing else, and scored on
the site's test images at their own size. Beside it the loss attack of `dsfedmed_benchmarks.attacks` on the branch.

The seed of the noise is the study's, so that the table can be made again. A hospital's is its own secret.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.arrays import SiteArrays, generator_pairs, load_part
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.labels import to_channels
from dsfedmed.evaluation.protocol import ForwardPass, evaluate
from dsfedmed.exchange.sampled_accounting import SampledRelease, epsilon_of_all, multiplier_for
from dsfedmed.generator.base_file import read_base, read_header
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.fit import MaskedImages, fit_branch
from dsfedmed.generator.mask_sampler import deform_label_maps
from dsfedmed.generator.networks.base import GeneratorBase
from dsfedmed.generator.networks.branch import branch_state, build_branch, load_branch_state
from dsfedmed.generator.networks.embedded import build_base, embedded_base
from dsfedmed.generator.private.fit import PatientImages, PrivateSteps, fit_branch_privately
from dsfedmed.generator.quality import usable
from dsfedmed.generator.sample import sample
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import file_sha256, read_json, read_tensors, write_json, write_tensors
from dsfedmed.store.stage_store import config_hash
from dsfedmed.training.head_start import HeadStart, train_on_synthetic
from dsfedmed.training.step_rules import StepRules
from dsfedmed.training.synthetic_source import SyntheticSource
from dsfedmed.training.task import TrainingTask
from dsfedmed_benchmarks.attacks.denoising import denoising_errors, loss_scores
from dsfedmed_benchmarks.attacks.scores import Scored, bootstrap, pooled_area
from dsfedmed_benchmarks.attacks.victim import joined, joined_arrays

UNFITTED, PLAIN, CLIPPED = "not fitted", "as it is", "clipped, no noise"
PRIVATE = {"steps", "people", "draws", "bound", "rate"}
LIGHT = HeadStart(300, 3e-3, True, StepRules(ramp_steps=75, clip_norm=1.0))
"""Of the light network on the set, without augmentation, which costs more than the step at 64 pixels."""


@dataclass(frozen=True)
class Kind:
    """One way of fitting the branch: `UNFITTED`, `PLAIN`, `CLIPPED`, or an epsilon."""

    name: str
    epsilon: float | None = None


@dataclass(frozen=True)
class Options:
    """What is fitted.

    Attributes:
        sites: folder with one folder per site.
        base: file of a base that has seen no image of theirs.
        bundles: folder of the bundles.
        work: folder of records and branches.
        generator: keys of `GeneratorConfig` that the base does not fix.
        plain_steps: gradient steps of the branch without privacy.
        steps: of the private ones.
        people: patients that a private step draws in the mean, at most all.
        draws: noise and timesteps of each.
        bound: C.
        rate: peak learning rate of the private fit.
        pairs: images drawn from each branch.
        seeds: light networks trained on each set.
    """

    sites: Path
    base: Path
    bundles: Path = Path("bundles")
    work: Path = Path("runs/dp_branch")
    generator: Mapping[str, Any] | None = None
    plain_steps: int = 800
    steps: int = 200
    people: int = 64
    draws: int = 1
    bound: float = 1.0
    rate: float = 3e-3
    pairs: int = 192
    seeds: int = 2

    def told(self, kind: Kind) -> dict[str, Any]:
        """Return what a record of one way depends on, without paths."""
        unread = {"sites", "base", "bundles", "work"}
        unread |= PRIVATE if kind.name in (UNFITTED, PLAIN) else {"plain_steps"}
        known = {key: value for key, value in asdict(self).items() if key not in unread}
        return {**known, "base": file_sha256(self.base), "light": asdict(LIGHT)}


class SiteStudy:
    """A site's branch in every way."""

    def __init__(self, options: Options, site: str, say: Callable[[str], None]) -> None:
        self.options, self.site, self._say = options, site, say

    def record(self, kind: Kind) -> dict[str, Any]:
        """Return what one way of fitting came to, from the work folder where it was done before."""
        key = config_hash({**self.options.told(kind), "site": self.site, **asdict(kind)})
        path = self.options.work / f"{self.site}-{kind.name.replace(' ', '_').replace(',', '')}-{key[:12]}.json"
        if not path.exists():
            started = time.monotonic()
            branch, facts = self._fitted(kind, path.with_suffix(".safetensors"))
            fitted = time.monotonic()
            dice, kept = self._dice(branch)
            area = self._attacked(branch)
            found = {"site": self.site, **asdict(kind), **facts, "patients": self._patients, "dice": dice, "kept": kept}
            found |= {"auc": [area.value, area.low, area.high], "fit_s": round(fitted - started, 1)}
            write_json(path, found | {"all_s": round(time.monotonic() - started, 1)})
            self._say(f"{self.site} {kind.name}: Dice {100 * statistics.fmean(dice):.1f} AUC {area}")
        return dict(read_json(path))

    @cached_property
    def _config(self) -> GeneratorConfig:
        header = read_header(self.options.base)
        return GeneratorConfig.from_dict({**header.generator_model, **(self.options.generator or {})})

    @cached_property
    def _base(self) -> GeneratorBase:
        network = build_base(self._config)
        network.load_state_dict(read_base(self.options.base, self._config))
        return embedded_base(network, self._config)

    @cached_property
    def _bundle(self) -> BundleDefinition:
        size, channels = self._config.image_size, self._config.channels
        settings = {"image_size": [size, size], "in_channels": channels}
        return BundleDefinition(self.options.bundles / "light_unet_segmentation", settings)

    @cached_property
    def _parts(self) -> tuple[SiteArrays, SiteArrays]:
        """The training part, and validation and test joined."""
        datalist = load_datalist(self.options.sites / self.site)
        names = ("training", "validation", "test")
        found = [generator_pairs(load_part(datalist, name, self._bundle.preprocessing()), self.site) for name in names]
        return found[0], joined_arrays(found[1:])

    @property
    def _patients(self) -> int:
        return len(set(self._parts[0].cases))

    def _pairs(self, arrays: SiteArrays) -> MaskedImages:
        return MaskedImages(arrays.images, to_channels(arrays.labels, self._bundle.num_classes, self._bundle.nested))

    def _fitted(self, kind: Kind, path: Path) -> tuple[ControlNetModel, dict[str, Any]]:
        branch = build_branch(self._base, self._config, seed=derive_seed(0, "branch"))
        facts: dict[str, Any] = {"numbers": sum(value.numel() for value in branch_state(branch).values())}
        if kind.name == UNFITTED:
            return branch, facts
        pairs, asked = self._pairs(self._parts[0]), self.options
        plan = None
        if kind.name != PLAIN:
            plan = self._plan(kind)
            facts |= asdict(plan)
            delta = 1 / (10 * self._patients)
            facts["delta"] = delta
            if kind.epsilon:
                facts["spent"] = epsilon_of_all([SampledRelease(plan.noise_multiplier, plan.rate, plan.count)], delta)
        if path.exists():
            load_branch_state(branch, read_tensors(path))
        elif plan is None:
            fit_branch(self._base, branch, pairs, self._config, asked.plain_steps, derive_seed(0, "dp", self.site))
        else:
            config = GeneratorConfig.from_dict({**self._config.to_dict(), "branch_learning_rate": asked.rate})
            secret = f"{self.site}/{kind.name}"
            owned = PatientImages(pairs.images, pairs.channels, self._parts[0].cases)
            fit_branch_privately(self._base, branch, owned, config, plan, secret)
        write_tensors(path, branch_state(branch))
        return branch, facts

    def _plan(self, kind: Kind) -> PrivateSteps:
        asked = self.options
        rate, delta = min(1.0, asked.people / self._patients), 1 / (10 * self._patients)
        noise = multiplier_for(kind.epsilon, delta, rate, asked.steps) if kind.epsilon else 0.0
        return PrivateSteps(asked.steps, rate, asked.bound, noise, asked.draws)

    def _dice(self, branch: ControlNetModel) -> tuple[list[float], int]:
        """Return the test Dice of each light network, and how many drawn images were usable."""
        masks = deform_label_maps(self._parts[0].labels, self.options.pairs, derive_seed(0, "masks"), where=self.site)
        channels = to_channels(masks, self._bundle.num_classes, self._bundle.nested)
        made = sample(self._base, branch.eval(), channels, self._config, derive_seed(0, "draw"))
        good = usable(made)
        if int(good.sum()) < LIGHT_BATCH:
            return [0.0], int(good.sum())
        images, labels = made[good], masks[good]
        return [self._trained(images, labels, seed) for seed in range(self.options.seeds)], len(images)

    def _trained(self, images: Tensor, labels: Tensor, seed: int) -> float:
        bundle = self._bundle
        network = bundle.network(seed=derive_seed(seed, "light"))
        optimizer = torch.optim.Adam(network.parameters(), lr=LIGHT.learning_rate)
        task = TrainingTask(bundle.num_classes, bundle.nested, bundle.loss(), None, LIGHT_BATCH)
        source = SyntheticSource(images, labels, None, 1.0, 0.0)
        train_on_synthetic(network, optimizer, source, task, LIGHT, derive_seed(seed, "light"))
        datalist = load_datalist(self.options.sites / self.site)
        found = evaluate(network, datalist, "test", bundle.preprocessing(), ForwardPass(bundle.num_classes))
        return statistics.fmean(case.mean_dice for case in found)

    def _attacked(self, branch: ControlNetModel) -> Any:
        """Return the loss attack's area: training images against those of validation and test."""
        own, others = self._pairs(self._parts[0]), self._pairs(self._parts[1])
        errors = denoising_errors(self._base, branch, joined(own, others))
        scores = loss_scores(errors, self._base.loss_weights)
        return bootstrap(pooled_area, [Scored(scores[: len(own.images)], scores[len(own.images) :])])


LIGHT_BATCH = 16
