# SPDX-License-Identifier: Apache-2.0
"""The settings of a run: what a preset file may say, validated once.

A preset is a YAML file. It may name another one under ``base`` and then only says what differs. Everything here is
sent to, or known by, every party; paths and devices are not settings (see `dsfedmed.federated.party.config`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from dsfedmed.algorithms.distillation import DistillationConfig
from dsfedmed.bundles.installed import require_bundle_name
from dsfedmed.bundles.setting_values import SettingValue
from dsfedmed.documents import parse_yaml, read_yaml
from dsfedmed.errors import ConfigError
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.networks.promptless_sam.variants import check_size, check_variant, next_size
from dsfedmed.options import dotted, read_options, require, require_plain
from dsfedmed.renamed import refuse_renamed
from dsfedmed.settings_checks import check_numbers
from dsfedmed.settings_sections import (
    CompareSettings,
    GeneratorSettings,
    GuardSettings,
    LightSettings,
    RefitSettings,
    RobustSettings,
    ScheduleSettings,
    SyntheticSettings,
    TimeoutSettings,
)
from dsfedmed.training.distillation.config import ServerDistillationConfig
from dsfedmed.training.teacher.config import TeacherConfig


@dataclass(frozen=True)
class Settings:
    """All settings of a run.

    Attributes:
        preset: name of the preset, for the record.
        seed: every random draw of the run derives from it.
        rounds: rounds of FedAvg of the light network; 0, with a head start, is DSFedMed in one shot: the network is
            trained on the synthetic set alone.
        image_size: side of the square images of networks and generator, in pixels.
        min_sites: source sites without which a stage does not go on.
        unseen: sites held out until the end.
        light: the light network and its local training.
        light_settings: values of what its bundle declares, by name (`learning_rate`); with a bundle's name before it
            (`light_unet_segmentation/learning_rate`) for that bundle only, unless a plain key speaks.
        generator: how the generator is fitted.
        generator_model: what the generator is; keys of `dsfedmed.generator.config.GeneratorConfig`.
        synthetic: the synthetic set and its audit.
        teacher_variant: size of the teacher, a key of `dsfedmed.networks.promptless_sam.variants.VARIANTS`.
        teacher_image_size: side of the square image that the teacher's encoder sees, in pixels; 0: ``image_size``, or
            the next larger side that its variant can cut into patches. Images are resized on the way in.
        teacher: its adaptation to the synthetic set.
        distillation: learnability, selection and losses.
        server_distillation: batches and rates of the distillation at the server.
        schedule: when and where distillation happens.
        refit: the server's repair of each mean.
        guard: what undoes a round.
        robust: what keeps bad updates out of the mean.
        compare: the methods to compare with.
        method: options of the workflow itself, where it has any; the workflow reads and checks them.
        legacy_eval: also score by the authors' protocol (five thresholds on raw logits), for their published tables.
        timeouts: how long the server waits.
    """

    preset: str = ""
    seed: int = 0
    rounds: int = 60
    image_size: int = 64
    min_sites: int = 2
    unseen: tuple[str, ...] = ()
    light: LightSettings = field(default_factory=LightSettings)
    light_settings: dict[str, SettingValue] = field(default_factory=dict)
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    generator_model: dict[str, Any] = field(default_factory=dict)
    synthetic: SyntheticSettings = field(default_factory=SyntheticSettings)
    teacher_variant: str = "small"
    teacher_image_size: int = 0
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    server_distillation: ServerDistillationConfig = field(default_factory=ServerDistillationConfig)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    refit: RefitSettings = field(default_factory=RefitSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    robust: RobustSettings = field(default_factory=RobustSettings)
    compare: CompareSettings = field(default_factory=CompareSettings)
    method: dict[str, Any] = field(default_factory=dict)
    legacy_eval: bool = False
    timeouts: TimeoutSettings = field(default_factory=TimeoutSettings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "settings") -> Settings:
        """Build from nested mappings.

        Raises:
            ConfigError: a renamed key, with its new name; an unknown key, with the nearest known one; or a value that
                is out of range.
        """
        require_plain(where, values)
        refuse_renamed(values, f"{where}.")
        sections: dict[str, Any] = {f.name: f.default_factory for f in fields(cls)}
        ready: dict[str, Any] = {}
        for key, value in values.items():
            kind = sections.get(key)
            if isinstance(kind, type):  # a section: a dataclass, or free keys
                require(isinstance(value, Mapping), f"{where}.{key}", "is not a section", "Write `key: value` lines")
            if key == "unseen":
                named = isinstance(value, (list, tuple)) and all(isinstance(site, str) for site in value)
                require(named, f"{where}.unseen", f"{value!r} is not a list of site names", "Write unseen: [SITE]")
                ready[key] = tuple(value)
            elif isinstance(kind, type) and is_dataclass(kind):
                ready[key] = read_options(kind, value, f"{where}.{key}")
            else:
                ready[key] = dict(value) if kind is dict else value
        settings = read_options(cls, ready, where)
        settings.check(where)
        return settings

    def check(self, where: str) -> None:
        """Raise ``ConfigError`` naming the first value that cannot be."""
        check_numbers(dict(dotted(self.to_dict())), where)
        require_bundle_name(self.light.bundle, f"{where}.light.bundle")
        self._check_schedule(where)
        check_variant(self.teacher_variant)
        check_size(self.teacher_variant, self.teacher_size)
        model = GeneratorConfig.from_dict({**self.generator_model, "image_size": self.image_size})
        robust = self.robust
        needs = f"{robust.rule} needs {robust.least_sites} sites to outvote {robust.bad_sites} bad"
        fix = f"Set min_sites: {robust.least_sites}, lower robust.bad_sites, or choose geometric_median or mean"
        enough = self.min_sites >= robust.least_sites
        require(enough, f"{where}.robust.rule", f"{needs}, and a round goes on with {self.min_sites}", fix)
        require(
            self.generator.base == "fitted" or model.is_embedded,
            f"{where}.generator.base",
            "`given` is of the embedded base, and `generator_model.base` is stable_diffusion, which every party has",
            "Leave one of the two out",
        )
        fits_base = model.is_embedded and self.generator.base == "fitted"
        require(
            self.generator.branch_epsilon == 0 or not fits_base,
            f"{where}.generator.branch_epsilon",
            "is of the branch, and the base that the sites fit learns from the same images without it",
            "Set generator.base: given (`dsfedmed pretrain-generator` makes one of public images)",
        )

    def _check_schedule(self, where: str) -> None:
        """Refuse what cannot be carried out: nothing to train, or a set that the sites have not kept."""
        heads = self.schedule.head_start_steps > 0
        fix = "Set schedule.head_start_steps, or give rounds"
        require(self.rounds > 0 or heads, f"{where}.rounds", "0 rounds and no head start train nothing", fix)
        needs_set = self.schedule.joint_weight > 0 or self.schedule.distil_at != "server"
        reason = "the sites would train with a set that they do not keep"
        fix = "Set schedule.distil_at: server and schedule.joint_weight: 0, or synthetic.broadcast: true"
        require(self.synthetic.broadcast or not needs_set, f"{where}.synthetic.broadcast", reason, fix)

    @property
    def teacher_size(self) -> int:
        """Side of the square image that the teacher's encoder sees, in pixels."""
        return self.teacher_image_size or next_size(self.teacher_variant, self.image_size)

    @property
    def light_values(self) -> dict[str, SettingValue]:
        """``light_settings`` as they hold for ``light.bundle``, by name."""
        mine = f"{self.light.bundle}/"
        own = {key.removeprefix(mine): value for key, value in self.light_settings.items() if key.startswith(mine)}
        return own | {key: value for key, value in self.light_settings.items() if "/" not in key}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like nested values that `from_dict` takes back."""
        return {**asdict(self), "unseen": list(self.unseen)}


def read_run(
    preset: str | Path,
    overrides: Sequence[str] = (),
    *,
    presets: Path | None = None,
    unseen: Sequence[str] = (),
    seed: int | None = None,
    label_site: str | None = None,
) -> Settings:
    """Return the settings of a run: a preset, overrides over it, and what a command line says on its own.

    Args:
        preset: path of a YAML file (``.yaml`` or ``.yml``), or the name of a preset.
        overrides: texts of the form ``a.b=value``, the later one wins.
        presets: folder of the presets that have a name; None where only a path is taken.
        unseen: sites held out until the end; the preset's where none is given.
        seed: the run's seed; the preset's where it is None.
        label_site: site whose labels are the public set (SAM-Fed's ``method.label_site``).

    Raises:
        ConfigError: there is no such preset (those there are listed), an override is not of that form, or as
            `Settings.from_dict`.
    """
    path = _preset_path(str(preset), presets)
    values, given = read_preset(path), set[str]()
    for text in overrides:
        override = parse_override(text)
        values, given = merge(values, override), given | {key for key, _ in dotted(override)}
    values["preset"] = path.stem
    if unseen:
        values["unseen"] = list(unseen)
    if seed is not None:
        values["seed"] = seed
    if label_site:
        values = merge(values, {"method": {"label_site": label_site}})
    try:
        return Settings.from_dict(values, path.name)
    except ConfigError as error:
        raise _of_option(error, path.name, given) from error


def _of_option(error: ConfigError, preset: str, given: Collection[str]) -> ConfigError:
    """Return the error with ``--set KEY`` for the preset's name where the value of the key was given so."""
    key = error.where.removeprefix(f"{preset}.")
    if any(key == name or key.startswith(f"{name}.") for name in given):
        return ConfigError(f"--set {key}", error.reason, error.fix)
    return error


def _preset_path(preset: str, presets: Path | None) -> Path:
    if preset.endswith((".yaml", ".yml")):
        return Path(preset)
    if presets is None:
        raise ConfigError(f"preset {preset}", "is not a YAML file", "Give a path that ends in .yaml")
    return presets / f"{preset}.yaml"


def read_preset(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a preset and the presets it builds on; later ones win, section by section.

    Raises:
        ConfigError: the file is missing, is not YAML or does not hold a mapping, holds a renamed key, or builds on
            itself.
    """
    if path in above:
        raise ConfigError(path, "builds on itself by its `base`", "Let `base` name another preset, or leave it out")
    if not _is_file(path):
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise ConfigError(path, "there is no such preset", f"Presets there: {there}")
    try:
        content = read_yaml(path) or {}
    except (OSError, ValueError) as error:
        raise ConfigError(path, f"cannot be read ({error})", "Correct the file") from error
    if not isinstance(content, dict):
        raise ConfigError(path, "does not hold `key: value` lines", "Correct the file")
    refuse_renamed(content, f"{path.name}.")
    base = content.pop("base", None)
    return merge(read_preset(path.parent / f"{base}.yaml", (*above, path)), content) if base else content


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no disk takes
        return False


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``overlay`` laid over it, mapping by mapping."""
    merged = dict(base)
    for key, value in overlay.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def parse_override(text: str) -> dict[str, Any]:
    """Turn ``a.b=value`` (the value as YAML) into ``{"a": {"b": value}}``.

    Raises:
        ConfigError: the text is not of that form, or the key is a renamed one.
    """
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {text}", "is not of the form key=value", "Example: --set schedule.interval_rounds=5")
    try:
        nested: Any = parse_yaml(value)
    except ValueError as error:
        raise ConfigError(
            f"--set {text}", f"has a value that is not YAML ({error})", "Example: --set schedule.interval_rounds=5"
        ) from error
    for part in reversed(key.split(".")):
        nested = {part: nested}
    refuse_renamed(nested, "--set ")
    return dict(nested)
