# SPDX-License-Identifier: Apache-2.0
"""Every method that has a job, one entry each; and every model that a run may show, the methods' own among them.

A new method is entered in `METHODS` and nowhere else. Its workflow and options are named as "module:Class" and loaded
when they are needed, so that a report, or a site, imports no workflow.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class ShownModel:
    """How one compared model is shown, and where a run's record says what it cost.

    Attributes:
        key: its name in records and results.
        name: its name in tables.
        meaning: one line.
        colour: everywhere.
        stages: the stages that are its cost; empty for a method's own, whose stages are counted as such.
        network: what is run in the end.
    """

    key: str
    name: str
    meaning: str
    colour: str
    stages: tuple[str, ...] = ()
    network: Literal["light", "teacher"] = "light"


@dataclass(frozen=True)
class Beyond:
    """One of our additions.

    Attributes:
        setting: dotted key; one under ``light_settings`` is looked up for the run's own bundle.
        paper: the values that are not ours.
        words: what any other value means, for reports.
        default: of a key that a run's settings need not hold (``method``, ``light_settings`` and ``generator_model``).
    """

    setting: str
    paper: tuple[Any, ...]
    words: str
    default: Any = None


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        models: what it trains and is known by; the first has the method's key.
        workflow: "module:Class" of the server's workflow.
        options: "module:Class" of the options under ``method``; empty for a method without.
        requires: keys of the models that a complete run must have besides its own.
        baselines: what it is held against, by budget ("equal_rounds", "equal_steps").
        record_parts: parts of the record that this method alone has.
        job: the folder below ``jobs/`` with its presets; empty for one of the method's own name.
        public: whether sites train without labels, under those of a public set at the server.
        beyond: settings with which a run does what its paper does not.
    """

    models: tuple[ShownModel, ...]
    workflow: str
    options: str = ""
    requires: tuple[str, ...] = ()
    baselines: Mapping[str, str] = field(default_factory=dict)
    record_parts: tuple[str, ...] = ()
    job: str = ""
    public: bool = False
    beyond: tuple[Beyond, ...] = ()

    @property
    def key(self) -> str:
        """The method's name in jobs, records and results."""
        return self.models[0].key

    def load(self) -> type[Any]:
        """Return the class of the workflow."""
        return _class(self.workflow)

    def load_options(self) -> type[Any] | None:
        """Return the class of the method's own options; None for a method without."""
        return _class(self.options) if self.options else None


def _class(path: str) -> type[Any]:
    module, _, name = path.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found


_GUARDS = (
    Beyond("guard.fall", (0.0,), "rounds after which validation fell are undone"),
    Beyond("robust.gate_norm", (0.0,), "updates of odd length are refused"),
    Beyond("robust.trials", (False,), "the mean is tried without each update"),
    Beyond("robust.rule", ("mean",), "a robust rule instead of the mean"),
    Beyond("robust.max_share", (1.0,), "no site counts more than a share"),
)
_LOCAL = (
    Beyond("light.rate_schedule", ("constant",), "a learning rate that falls over the rounds"),
    Beyond("light.ramp_steps", (0,), "a ramp at the start of every round"),
    Beyond("light.clip_norm", (0.0,), "clipped gradients"),
    Beyond("schedule.average_rounds", (0,), "the mean of the last rounds"),
)
_WIRE = (Beyond("light.precision", ("fp32",), "fewer than 32 bits a number on the wire"),)
_DSFEDMED = (
    Beyond("generator_model.base", ("stable_diffusion",), "a small generator that the sites fit together", "embedded"),
    Beyond("generator_model.lora_rank", (0,), "branches of low rank", 0),
    Beyond("light_settings.loss", ("weighted_bce",), "Dice in the local loss, or no weight", "dice_bce"),
    Beyond("light_settings.augmentation", ("none",), "augmentation at the sites", "standard"),
    Beyond("light.keep_optimizer", (True,), "a new optimiser every round"),
    Beyond("teacher.tune", ("full", "decoder"), "low-rank updates of the teacher"),
    Beyond("teacher.dice_weight", (0.0,), "Dice in the teacher's adaptation"),
    Beyond("teacher.flips", (False,), "flips in the teacher's adaptation"),
    Beyond("teacher.schedule", ("constant",), "a falling rate in the teacher's adaptation"),
    Beyond("distillation.normalise", (False,), "a normalised score"),
    Beyond("distillation.stop_gradient", (False,), "divergences that move one network each"),
    Beyond("schedule.distil_at", ("server",), "distillation at the sites"),
    Beyond("schedule.order", ("paper",), "distillation between the rounds"),
    Beyond("schedule.head_start_steps", (0,), "a head start on the synthetic set"),
    Beyond("schedule.joint_weight", (0.0,), "a synthetic batch beside every real one"),
    Beyond("refit.steps", (0,), "a repair of every mean on the synthetic set"),
    Beyond("robust.parts", (False,), "parts of the set that do harm are left out"),
)
_SAMFED = (
    Beyond("teacher.tune", ("lora",), "SAM is not tuned by LoRA"),
    Beyond("method.public_order", ("first",), "public and own images in one step", "beside"),
    Beyond("method.teacher_gate", (False,), "SAM is asked while at least as good as its student", True),
    Beyond("method.teacher_flips", (False,), "SAM's answers are a mean over flips", True),
)
_PFEDSAM = (
    Beyond("teacher.lora_targets", ("qkv",), "low-rank updates beyond the attention"),
    Beyond("method.mean", ("factors",), "low-rank updates averaged as products", "product"),
    Beyond("method.warmup_rounds", (0,), "rounds of the global branch alone", 0),
    Beyond("method.personal_average", (0.0,), "a running mean of the personal branch", 0.0),
    Beyond("method.personal_learning_rate", (0.0,), "a rate of the personal branch's own", 0.0),
)
_START = (Beyond("method.rate_factor", (1.0,), "another learning rate in the rounds", 1.0),)
_FEDBN = (
    Beyond("light_settings.optimizer", ("sgd",), "Adam instead of gradient descent", "adam"),
    Beyond("light_settings.augmentation", ("none",), "augmentation at the sites", "standard"),
)

_FLOWS, _OPTIONS = "dsfedmed.federated.methods", "dsfedmed.training.baselines.options"
_UNLABELLED = "dsfedmed.training.baselines.unlabelled_options"


def _baseline(models: tuple[ShownModel, ...], workflow: str, options: str = "") -> Method:
    """Return a method of others: the light network in as many rounds, beside FedAvg on request."""
    where = f"{_OPTIONS}:{options}" if options else ""
    beyond = (*_LOCAL, *_WIRE, *_GUARDS)
    budget = {"equal_rounds": "fedavg"}
    return Method(models, f"{_FLOWS}.baselines.{workflow}", where, baselines=budget, job="baselines", beyond=beyond)


def _unlabelled(model: ShownModel, workflow: str, options: str, job: str = "unlabelled") -> Method:
    """Return a method of others in SAM-Fed's setting: held against the public labels alone."""
    return Method(
        (model,), f"{_FLOWS}.baselines.unlabelled:{workflow}", f"{_UNLABELLED}:{options}", requires=("labels_only",),
        baselines={"equal_steps": "labels_only"}, job=job, public=True,
        beyond=(*_START, *_LOCAL, *_WIRE, *_GUARDS),
    )  # fmt: skip


METHODS: dict[str, Method] = {
    method.key: method
    for method in (
        Method(
            (ShownModel("dsfedmed", "DSFedMed", "light network, FedAvg with learnability-guided mutual distillation",
                        "#d9480f"),),
            f"{_FLOWS}.dsfedmed:DSFedMed",
            requires=("local", "fedavg", "fedavg_equal_steps", "teacher_before", "teacher"),
            baselines={"equal_rounds": "fedavg", "equal_steps": "fedavg_equal_steps"},
            record_parts=("learnability", "audit", "synthetic"),
            beyond=(*_DSFEDMED, *_LOCAL, *_WIRE, *_GUARDS),
        ),
        Method(
            (ShownModel("samfed", "SAM-Fed", "light network, unlabelled sites under SAM's and its own labels",
                        "#e67700"),),
            f"{_FLOWS}.samfed:SamFed",
            "dsfedmed.training.semi_supervised.config:SamFedConfig",
            requires=("labels_only", "public_teacher"),
            baselines={"equal_steps": "labels_only"},
            public=True,
            beyond=(*_SAMFED, *_START, *_LOCAL, *_WIRE, *_GUARDS),
        ),
        Method(
            (ShownModel("pfedsam", "pFedSAM", "each site's personal branch with experts; unseen sites: the global one",
                        "#c2255c", network="teacher"),
             ShownModel("pfedsam_global", "pFedSAM, global branch", "low-rank updates and decoder federated", "#f783ac",
                        ("rounds",), "teacher")),
            f"{_FLOWS}.pfedsam:PFedSam",
            "dsfedmed.training.personal:PersonalConfig",
            baselines={"equal_rounds": "fedsam"},
            beyond=(*_PFEDSAM, *_LOCAL, *_WIRE, *_GUARDS),
        ),
        Method(
            (ShownModel("fedbn", "FedBN", "light network, each site's own normalisation; unseen sites: the shared one",
                        "#087f5b"),
             ShownModel("fedbn_shared", "FedBN, shared layers", "light network, FedAvg but for the normalisation: as "
                        "at the start", "#63e6be", ("rounds",))),
            f"{_FLOWS}.fedbn:FedBN",
            baselines={"equal_rounds": "fedavg"},
            beyond=(*_FEDBN, *_LOCAL, *_WIRE, *_GUARDS),
        ),
        _baseline(
            (ShownModel("fedavgm", "FedAvgM", "light network, FedAvg with momentum at the server", "#3b5bdb"),),
            "server_optimizers:FedAvgM", "MomentumOptions",
        ),
        _baseline(
            (ShownModel("fedadam", "FedAdam", "light network, FedAvg with Adam at the server", "#1098ad"),),
            "server_optimizers:FedAdam", "AdaptiveOptions",
        ),
        _baseline(
            (ShownModel("fedyogi", "FedYogi", "light network, FedAvg with Yogi at the server", "#0ca678"),),
            "server_optimizers:FedYogi", "AdaptiveOptions",
        ),
        _baseline(
            (ShownModel("scaffold", "SCAFFOLD", "light network, FedAvg with gradients corrected for the sites' drift",
                        "#5c940d"),),
            "scaffold:Scaffold",
        ),
        _baseline(
            (ShownModel("moon", "MOON", "light network, FedAvg with a contrast to the global network and the last own",
                        "#a61e4d"),),
            "moon:Moon", "ContrastOptions",
        ),
        _baseline(
            (ShownModel("ditto", "Ditto", "light network, each site's own, pulled to FedAvg's; unseen sites: FedAvg's",
                        "#862e9c"),
             ShownModel("ditto_global", "Ditto, global network", "light network, as FedAvg", "#da77f2", ("rounds",))),
            "ditto:Ditto", "DittoOptions",
        ),
        _baseline(
            (ShownModel("feddg_ga", "FedDG-GA", "light network, FedAvg whose weights grow for sites that the mean hurt",
                        "#6741d9"),),
            "feddg_ga:FedDGGA", "GapOptions",
        ),
        _baseline(
            (ShownModel("fedrdn", "FedRDN", "light network, trained on images with the mean and spread of a drawn site",
                        "#e8590c"),
             ShownModel("fedrdn_plain", "FedRDN, plain images", "the same network on images as they are", "#ffa94d",
                        ("rounds",))),
            "fedrdn:FedRDN",
        ),
        _baseline(
            (ShownModel("feddg", "FedDG, amplitudes", "light network, trained on images with amplitudes of other sites",
                        "#0b5563"),),
            "feddg:FedDG", "AmplitudeOptions",
        ),
        _baseline(
            (ShownModel("fedrep", "FedRep", "light network, each site's own head; unseen sites: that of the start",
                        "#2f9e44"),
             ShownModel("fedrep_shared", "FedRep, shared layers", "light network, FedAvg but for the head: as at the "
                        "start", "#8ce99a", ("rounds",))),
            "fedrep:FedRep", "HeadOptions",
        ),
        _baseline(
            (ShownModel("finetuned", "FedAvg, fine-tuned", "light network, FedAvg's, trained on at each site; unseen "
                        "sites: FedAvg's", "#d6336c"),
             ShownModel("finetuned_global", "FedAvg, before fine-tuning", "light network, FedAvg", "#faa2c1",
                        ("rounds",))),
            "fine_tuned:FineTuned", "FineTuneOptions",
        ),
        _baseline(
            (ShownModel("silobn", "SiloBN", "light network, each site's own batch statistics; unseen sites: of their "
                        "own images", "#5f3dc4"),
             ShownModel("silobn_shared", "SiloBN, shared layers", "light network, FedAvg but for the statistics: as at "
                        "the start", "#b197fc", ("rounds",))),
            "silobn:SiloBN",
        ),
        _unlabelled(
            ShownModel("fixmatch", "FixMatch", "light network, unlabelled sites under their own sure answers",
                       "#ae3ec9"),
            "FixMatch", "FixMatchOptions",
        ),
        _unlabelled(
            ShownModel("meanteacher", "Mean Teacher", "light network, unlabelled sites under a running mean of theirs",
                       "#9c36b5"),
            "MeanTeacher", "MeanTeacherOptions",
        ),
        _unlabelled(
            ShownModel("lssl", "LSSL", "light network, unlabelled sites where it trusts its own answers", "#74470b"),
            "Lssl", "LsslOptions", "assessed",
        ),
    )
}  # fmt: skip


def _own(network: str) -> tuple[ShownModel, ...]:
    return tuple(model for method in METHODS.values() for model in method.models if model.network == network)


_EQUAL = ("compare fedavg", "compare equal steps")
MODELS: tuple[ShownModel, ...] = (
    ShownModel("local", "Local only", "light network trained at each site alone, no federation", "#7a828e",
               ("compare local",)),
    ShownModel("labels_only", "Labels only", "light network trained on the public labels alone", "#868e96",
               ("compare labels only",)),
    ShownModel("fedavg", "FedAvg", "light network, FedAvg, as many rounds as the method", "#1c6fb8",
               ("compare fedavg",)),
    ShownModel("fedavg_equal_steps", "FedAvg, equal steps", "light network, FedAvg, as many training steps", "#69aee6",
               _EQUAL),
    ShownModel("fedprox", "FedProx", "light network, FedAvg with a proximal term", "#0b7285", ("compare fedprox",)),
    *_own("light"),
    ShownModel("centralised", "Centralised", "light network on all images in one place", "#343a40",
               ("compare centralised",)),
    ShownModel("teacher_before", "Teacher before", "promptless SAM, tuned on the synthetic set only", "#b197d8",
               ("adapt teacher",), "teacher"),
    ShownModel("teacher", "Teacher after", "promptless SAM after mutual distillation", "#6f42b5",
               ("adapt teacher", "rounds"), "teacher"),
    ShownModel("public_teacher", "Teacher, public labels", "promptless SAM tuned on the public labels", "#9775fa",
               ("tune teacher",), "teacher"),
    ShownModel("fedsam", "FedSAM", "the teacher itself federated", "#2b8a57", ("compare fedsam",), "teacher"),
    ShownModel("fedmsa", "FedMSA", "adapters in the teacher and its decoder federated", "#74b816", ("compare fedmsa",),
               "teacher"),
    ShownModel("local_lora", "Local LoRA", "low-rank updates of the teacher and its decoder at each site alone",
               "#adb5bd", ("compare local_lora",), "teacher"),
    ShownModel("fedlora", "FedAvg-LoRA", "low-rank updates of the teacher and its decoder federated", "#66a80f",
               ("compare fedlora",), "teacher"),
    *_own("teacher"),
)  # fmt: skip
"""Every model that a run may show, in the order of tables and pictures."""


def required_models(method: str) -> frozenset[str]:
    """Return the keys of the models that a complete run of ``method`` must have."""
    if method not in METHODS:
        return frozenset()
    entry = METHODS[method]
    return frozenset((*(model.key for model in entry.models), *entry.requires))


def uses_teacher(method: str) -> bool:
    """Whether ``method`` itself trains or asks the teacher; what it is compared with may have one all the same."""
    return any(model.network == "teacher" for model in MODELS if model.key in required_models(method))
