# SPDX-License-Identifier: Apache-2.0
"""What the federation agreed on after the sites reported: channels, classes, and the form of every network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from dsfedmed.algorithms.schedules import rate_over_rounds
from dsfedmed.bundles.answer import require_answer
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.documents import METADATA, read_config
from dsfedmed.bundles.installed import installed_bundle
from dsfedmed.bundles.settings import check_settings, declared_settings
from dsfedmed.data.facts import FederationFacts
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.party.teacher_network import build_teacher
from dsfedmed.federated.wire.specs import BundleSpec, LowRankSpec, RoundFacts, RunFacts, TeacherInit, TeacherSpec
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.networks.light_weights import load_light_weights
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.networks.stem_channels import stem_channels
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.seeds import derive_seed
from dsfedmed.settings import Settings
from dsfedmed.store.files import file_sha256
from dsfedmed.training.step_rules import StepRules


@dataclass(frozen=True)
class FederationPlan:
    """The run's networks and the facts every request carries.

    Attributes:
        settings: the run's settings.
        facts: what the sites agree on.
        counts: training images of each source site; the weights n_k of FedAvg, so no site can claim another.
        light_bundle: the bundle of the light network with the run's sizes laid over it.
        generator: the generator at the run's sizes.
        light_weights: weights file the light network starts from; None for a random start.
        teacher: weights file of the teacher; None for a random start.
    """

    settings: Settings
    facts: FederationFacts
    counts: dict[str, int]
    light_bundle: BundleDefinition
    generator: GeneratorConfig
    light_weights: Path | None = None
    teacher: Path | None = None

    @property
    def light_spec(self) -> BundleSpec:
        """The light network as requests name it."""
        bundle = self.light_bundle
        return BundleSpec(bundle.folder.name, bundle.settings, bundle.sha256)

    def spec_of(self, bundle: str) -> BundleSpec:
        """Return another light bundle as requests name it, at the run's sizes, without the run's `light_settings`.

        Raises:
            ConfigError: there is no such bundle.
        """
        run, light = self.settings.light_values, self.light_bundle
        own = {key: value for key, value in light.settings.items() if key not in run}
        folder = installed_bundle(light.folder.parent, bundle)
        found = BundleDefinition(folder, own, also_allowed=light.also_allowed)
        return BundleSpec(bundle, found.settings, found.sha256)

    @property
    def common(self) -> RunFacts:
        """What every request says."""
        light = self.settings.light
        facts = self.facts
        return RunFacts(
            self.settings.seed, self.light_spec, facts.num_classes, facts.nested, light.precision, light.autocast
        )

    def round_facts(self, training: str, number: int, epochs: int | None = None) -> RoundFacts:
        """Return what a request says of round ``number`` of a training run; ``epochs`` default to the settings'."""
        light = self.settings.light
        passes = light.epochs_per_round if epochs is None else epochs
        return RoundFacts(training, number, passes, light.batch_size, light.keep_optimizer)

    def step_rules(self, done: int, total: int, undone: int = 0) -> StepRules:
        """Return the rules of the steps after ``done`` of ``total`` rounds; each undone round has halved the rate."""
        light = self.settings.light
        rate = rate_over_rounds(light.rate_schedule, done, total) * 0.5**undone
        return StepRules(rate, light.ramp_steps, light.clip_norm)

    @property
    def teacher_spec(self) -> TeacherSpec:
        """The teacher's size as requests name it."""
        settings, facts = self.settings, self.facts
        channels = stem_channels(facts.channels, "teacher")
        normalise = settings.teacher.normalise
        return TeacherSpec(settings.teacher_variant, settings.teacher_size, facts.num_classes, channels, normalise)

    @cached_property
    def teacher_init(self) -> TeacherInit:
        """The frozen part that every site holds, and the form of low-rank updates."""
        sha256 = file_sha256(self.teacher) if self.teacher else None
        asked = self.settings.teacher
        form = LowRankSpec(asked.lora_rank, asked.lora_alpha, tuple(asked.lora_layers))
        return TeacherInit(sha256, derive_seed(self.settings.seed, "teacher"), form)

    def light_network(self) -> nn.Module:
        """Build the light network with the run's start weights: the same for every method that is compared.

        Raises:
            CheckpointError: there is no such weights file, or it belongs to another network.
        """
        return self.start_light()[0]

    def start_weights(self) -> Weights:
        """Return what travels of the light network before the first round: the same for every compared method."""
        return copied_tensors(self.light_network())

    def start_light(self) -> tuple[nn.Module, str]:
        """Return ``light_network`` and in words where its weights come from, for the record."""
        network = self.light_bundle.network(seed=derive_seed(self.settings.seed, "light"))
        if self.light_weights is None:
            return network, "random start: no `light_weights` file is set for the server"
        return network, load_light_weights(network, self.light_weights).summary()

    def teacher_network(self) -> PromptlessSam:
        """Build the teacher with the run's random start weights."""
        return build_teacher(self.teacher_spec, derive_seed(self.settings.seed, "teacher"))


def make_plan(
    settings: Settings, config: PartyConfig, facts: FederationFacts, counts: dict[str, int]
) -> FederationPlan:
    """Lay the federation's sizes over the bundle and the generator.

    Raises:
        ConfigError: the bundle is not there, a setting of it or of the generator is unknown or impossible, or the light
            network cannot take images of that size.
    """
    size = settings.image_size
    names = {str(index): name for index, name in enumerate(facts.label_names)}
    values = {
        "image_size": [size, size],
        "in_channels": facts.channels,
        "num_classes": facts.num_classes,
        "nested": facts.nested,
        "channel_def": names,
        **settings.light_values,
    }
    check_light_settings(settings, config.need("bundles"))
    folder = installed_bundle(config.need("bundles"), settings.light.bundle, "light.bundle")
    light = BundleDefinition(folder, values, also_allowed=config.bundle_classes, sender="the run's light network")
    require_answer(light)
    model = {"image_size": size, "channels": facts.channels, "num_classes": facts.num_classes}
    generator = GeneratorConfig.from_dict({**settings.generator_model, **model})
    return FederationPlan(settings, facts, counts, light, generator, config.light_weights, config.teacher)


def check_light_settings(settings: Settings, bundles: Path) -> None:
    """Check every entry of `light_settings` against what its bundle declares, whether the run trains it or not.

    Raises:
        ConfigError: a bundle is not installed, or does not declare that setting or that value.
    """
    for key, value in settings.light_settings.items():
        bundle, named, name = key.partition("/")
        where = f"light_settings.{key}"
        folder = installed_bundle(bundles, bundle if named else settings.light.bundle, where)
        declared = declared_settings(read_config(folder / METADATA), folder / METADATA)
        check_settings(declared, {name if named else key: value}, where)
