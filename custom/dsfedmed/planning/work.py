# SPDX-License-Identifier: Apache-2.0
"""How much of which work each stage is, by the settings' formulas; what a piece costs is calibrated (`calibration`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from dsfedmed.planning.scene import Scene, SiteSize
from dsfedmed.training.personal_config import PersonalConfig
from dsfedmed.training.semi_supervised.config import SamFedConfig

UNITS = {
    "read": "an image read and brought to network size",
    "infer": "an image through the light network, without gradients",
    "score": "a test image read, answered and scored at its own size",
    "light_step": "a gradient step of the light network on a batch, augmentation included",
    "plain_step": "the same without augmentation",
    "base_step": "a gradient step of the generator's base",
    "branch_step": "a gradient step of a branch",
    "sample": "a synthetic image drawn",
    "audit": "an image held against a site's training images",
    "teacher_step": "a gradient step of the teacher's adaptation",
    "embed": "an image through the teacher, without gradients",
    "distil": "a pair of the pool in an epoch of mutual distillation",
}
"""The kinds of work by name, with what one piece of each is."""
FLIPS = 4
"""Views over which the teacher's soft labels are averaged."""
Units: TypeAlias = Counter[str]
"""Pieces of work of each kind."""


@dataclass(frozen=True)
class Work:
    """The work of a stage: of each site by its name, and of the server, which works while the sites wait."""

    sites: dict[str, Units] = field(default_factory=dict)
    server: Units = field(default_factory=Counter)


def work_of(scene: Scene, stage: str) -> Work:
    """Return the work of a stage; none for one that only writes down what there is ("release").

    Raises:
        KeyError: the stage is of a method that cannot be planned.
    """
    return _OF_METHOD.get(scene.method, {}).get(stage, _STAGES.get(stage, _unknown))(scene)


def at_sources(scene: Scene, units: Callable[[SiteSize], Units]) -> Work:
    """Return work that every source site does."""
    return Work({site.name: units(site) for site in scene.sources})


def _check_sites(scene: Scene) -> Work:
    images = {site: site.training + site.validation + site.test for site in scene.sites}
    return Work({site.name: Counter(read=count) for site, count in images.items()})


def _fit_base(scene: Scene) -> Work:
    asked = scene.settings.generator
    return at_sources(scene, lambda _: Counter(base_step=asked.base_rounds * asked.base_steps))


def _fit_branches(scene: Scene) -> Work:
    return at_sources(scene, lambda _: Counter(branch_step=scene.settings.generator.branch_steps))


def _synthesise(scene: Scene) -> Work:
    return Work(server=Counter(sample=scene.pool))


def _audit(scene: Scene) -> Work:
    """Looked at are all pairs, and what tells chance: held-out images and at most 200 training images."""
    return at_sources(scene, lambda site: Counter(audit=scene.pool + site.validation + min(site.training, 200)))


def _score_parts(scene: Scene) -> Work:
    """2 K times ``part_steps`` steps with three sites or more; with two each part is only learned by itself."""
    count, steps = len(scene.sources), scene.settings.robust.part_steps
    times = 2 * count if scene.tried_networks else count
    sites = {site.name: Units(infer=scene.tried_networks * site.validation) for site in scene.sources}
    return Work(sites, Counter(plain_step=times * steps))


def _adapt_teacher(scene: Scene) -> Work:
    asked = scene.settings.teacher
    return Work(server=Counter(teacher_step=asked.epochs * -(-scene.pool // asked.batch_size)))


def _head_start(scene: Scene) -> Work:
    soft = FLIPS * scene.pool if scene.settings.schedule.site_kl_weight else 0
    return Work(server=Counter(light_step=scene.head_start_steps, embed=soft))


def _rounds(scene: Scene) -> Work:
    """The rounds of the method itself; a joint step has a synthetic batch beside the real one and costs two."""
    settings = scene.settings
    joint = 2 if scene.generates and settings.schedule.joint_weight else 1

    def units(site: SiteSize) -> Units:
        found = plain_rounds(scene, site, settings.rounds)
        real = scene.passes(site)
        extra = (joint - 1) * settings.rounds + scene.alternating_rounds
        return found + Units(light_step=real * extra)

    at_server = Units(light_step=scene.refit_steps)
    if scene.distillations:
        times = len(scene.distillations)
        at_server["distil"] = times * scene.epochs_a_distillation * scene.pool
        at_server["embed"] = scene.pool
        if settings.schedule.distil_at != "server":
            flips = FLIPS if settings.schedule.soft_label_ensemble else 1
            at_server["embed"] += times * flips * scene.selected
    return Work({site.name: units(site) for site in scene.sources}, at_server)


def plain_rounds(scene: Scene, site: SiteSize, rounds: int) -> Units:
    """Return a site's work in rounds of FedAvg: steps, and validations of every round, of the end and of trials."""
    tried = scene.trials(rounds) * len(scene.sources)
    return Units(light_step=rounds * scene.passes(site), infer=(rounds + 1 + tried) * site.validation)


def _fedavg(scene: Scene) -> Work:
    return at_sources(scene, lambda site: plain_rounds(scene, site, scene.compared_rounds))


def _equal_steps(scene: Scene) -> Work:
    return at_sources(scene, lambda site: plain_rounds(scene, site, scene.further_rounds))


def _local(scene: Scene) -> Work:
    epochs = scene.compared_rounds * scene.settings.light.epochs_per_round
    return at_sources(scene, lambda site: Units(light_step=scene.passes(site, epochs), infer=epochs * site.validation))


def _centralised(scene: Scene) -> Work:
    """All images in one place, at the server, for as many passes."""
    total: Units = Counter()
    for site in scene.sources:
        epochs = scene.compared_rounds * scene.settings.light.epochs_per_round
        total += Units(light_step=scene.passes(site, epochs), infer=epochs * site.validation)
    return Work(server=total)


def _teacher_rounds(scene: Scene) -> Work:
    """FedSAM, FedMSA and LoRA: the teacher trained by the sites; its steps are counted as those of its adaptation."""
    share = scene.settings.light.batch_size / scene.settings.teacher.batch_size
    rounds = scene.compared_rounds

    def units(site: SiteSize) -> Units:
        return Units(teacher_step=round(rounds * scene.passes(site) * share), embed=(rounds + 1) * site.validation)

    return at_sources(scene, units)


def _evaluate(scene: Scene) -> Work:
    return Work({site.name: Counter(score=scene.own_models * site.test) for site in scene.sites})


def _evaluate_comparison(scene: Scene) -> Work:
    """A site scores what is compared; its own network alone where every site has one, a held-out site all of these."""
    asked, count = scene.settings.compare, len(scene.sources)
    trained = (asked.fedavg or asked.equal_steps, asked.equal_steps, asked.fedprox, asked.centralised, asked.fedsam,
               asked.fedmsa, asked.fedlora)  # fmt: skip
    shared = sum(trained) + (2 if asked.teacher and scene.generates else 0)
    alone = asked.local + asked.local_lora
    own = {site: alone * (1 if site.takes_part else count) for site in scene.sites}
    return Work({site.name: Counter(score=(shared + own[site]) * site.test) for site in scene.sites})


def _cross_site(scene: Scene) -> Work:
    """The server scores every source site's own networks at every site: those trained alone, and the method's."""
    asked = scene.settings.compare
    kinds = asked.local + asked.local_lora + (scene.method in ("fedbn", "pfedsam"))
    return Work(server=Counter(score=kinds * len(scene.sources) * sum(site.test for site in scene.sites)))


def _personal_rounds(scene: Scene) -> Work:
    """pFedSAM: the global branch, and behind the warm-up the personal one, each guided by the other's answers."""
    rounds = scene.settings.rounds
    both = rounds - PersonalConfig.from_dict(scene.settings.method).warmup_rounds
    share = scene.settings.light.batch_size / scene.settings.teacher.batch_size
    tried = scene.trials(rounds) * len(scene.sources)

    def units(site: SiteSize) -> Units:
        passes = scene.settings.light.epochs_per_round * site.training
        asked = 2 * both * passes + (rounds + 1 + tried + both) * site.validation
        return Units(teacher_step=round((rounds + both) * scene.passes(site) * share), embed=asked)

    return at_sources(scene, units)


def _public_set(scene: Scene) -> Work:
    return Work(server=Units(read=sum(scene.public)))


def _public_start(scene: Scene) -> Work:
    return Work(server=_public_passes(scene, SamFedConfig.from_dict(scene.settings.method).public_epochs))


def _public_passes(scene: Scene, epochs: int) -> Units:
    """Return passes of the light network over the public set at the server, each of them validated."""
    training, validation = scene.public
    return Units(light_step=epochs * -(-training // scene.settings.light.batch_size), infer=epochs * validation)


def _tune_teacher(scene: Scene) -> Work:
    asked, (training, validation) = scene.settings.teacher, scene.public
    return Work(server=Units(teacher_step=asked.epochs * -(-training // asked.batch_size), embed=validation))


def _broadcast(scene: Scene) -> Work:
    """Every site lets SAM look at its images."""
    views = FLIPS if SamFedConfig.from_dict(scene.settings.method).teacher_flips else 1
    return at_sources(scene, lambda site: Units(embed=views * site.training))


def _agreement_rounds(scene: Scene) -> Work:
    """A step has a public batch and an own one, of which the local and the global network are asked before."""
    rounds = scene.settings.rounds
    asked = 2 * rounds * scene.settings.light.epochs_per_round
    sites = {
        site.name: Units(
            light_step=2 * rounds * scene.passes(site), infer=asked * site.training + rounds * scene.public[0]
        )
        for site in scene.sources
    }
    tried = scene.trials(rounds) * len(scene.sources)
    return Work(sites, Units(infer=(rounds + 1 + tried) * scene.public[1]))


def _labels_only(scene: Scene) -> Work:
    """The public labels alone, for as many steps as the start and a site's mean of the rounds."""
    steps = scene.settings.rounds * scene.steps_a_round // max(len(scene.sources), 1)
    a_pass = max(-(-scene.public[0] // scene.settings.light.batch_size), 1)
    start = SamFedConfig.from_dict(scene.settings.method).public_epochs
    return Work(server=_public_passes(scene, start + -(-steps // a_pass)))


def _semi_evaluate_comparison(scene: Scene) -> Work:
    return Work({site.name: Counter(score=2 * site.test) for site in scene.sites})


def _unknown(scene: Scene) -> Work:
    raise KeyError(scene.method)


def _nothing(scene: Scene) -> Work:
    del scene
    return Work()


_STAGES: dict[str, Callable[[Scene], Work]] = {
    "check sites": _check_sites,
    "fit base": _fit_base,
    "fit branches": _fit_branches,
    "synthesise": _synthesise,
    "audit": _audit,
    "score parts": _score_parts,
    "adapt teacher": _adapt_teacher,
    "head start": _head_start,
    "rounds": _rounds,
    "compare fedavg": _fedavg,
    "compare equal steps": _equal_steps,
    "compare fedprox": _fedavg,
    "compare local": _local,
    "compare centralised": _centralised,
    "compare fedsam": _teacher_rounds,
    "compare fedmsa": _teacher_rounds,
    "compare fedlora": _teacher_rounds,
    "compare local_lora": _teacher_rounds,
    "evaluate": _evaluate,
    "evaluate comparison": _evaluate_comparison,
    "cross-site": _cross_site,
    "release": _nothing,
}

_OF_METHOD: dict[str, dict[str, Callable[[Scene], Work]]] = {
    "pfedsam": {"rounds": _personal_rounds},
    "samfed": {
        "public set": _public_set,
        "public start": _public_start,
        "tune teacher": _tune_teacher,
        "broadcast teacher": _broadcast,
        "rounds": _agreement_rounds,
        "compare labels only": _labels_only,
        "evaluate comparison": _semi_evaluate_comparison,
    },
}


def planned(method: str) -> frozenset[str]:
    """Return the stages of a method whose work is known."""
    return frozenset({*_STAGES, *_OF_METHOD.get(method, {})})
