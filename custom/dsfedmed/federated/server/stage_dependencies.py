# SPDX-License-Identifier: Apache-2.0
"""Which stages of DSFedMed a changed setting leaves as they are, and what each of them keeps in the store."""

from __future__ import annotations

from typing import Any

from dsfedmed.federated.server.robust.part_training import STAGE as SCORE_PARTS
from dsfedmed.federated.server.stages.check_sites import LIGHT_START, TEACHER_START
from dsfedmed.federated.server.stages.head_start import STAGE as HEAD_START
from dsfedmed.options import dotted
from dsfedmed.settings import Settings

CHAIN = ("fit base", "fit branches", "synthesise", "audit", SCORE_PARTS, "adapt teacher", HEAD_START)
"""Stages of which each needs all before it."""
FEDAVG, FEDPROX, LOCAL, CENTRALISED = "compare fedavg", "compare fedprox", "compare local", "compare centralised"
EQUAL_STEPS = "compare equal steps"
STORED = {
    "fit base": ("fit base", "base-*", LIGHT_START, TEACHER_START),
    "fit branches": ("fit branches", "branch-*", "masks-*"),
    "synthesise": ("synthesise",),
    "audit": ("audit",),
    SCORE_PARTS: (SCORE_PARTS,),
    "adapt teacher": ("adapt teacher",),
    HEAD_START: (HEAD_START,),
    FEDAVG: (FEDAVG, EQUAL_STEPS, "training-fedavg", "training-fedavg_equal_steps"),
    FEDPROX: (FEDPROX, "training-fedprox"),
    LOCAL: (LOCAL,),
    CENTRALISED: (CENTRALISED,),
}
"""What lies in the store of each stage that can be taken over; rounds and everything scored are always done anew."""
TRAINED = (FEDAVG, FEDPROX, LOCAL, CENTRALISED)
LOSS_AND_STEPS = (
    "light.batch_size",
    "light.clip_norm",
    "light_settings.learning_rate",
    "light_settings.weight_decay",
    "light_settings.momentum",
    "light_settings.optimizer",
    "light_settings.augmentation",
    "light_settings.loss",
)
"""What changes how the light network is trained, wherever it is, and nothing that is made before."""
INVALIDATES: dict[str, tuple[str, ...]] = {
    "preset": (),
    "generator.base": ("fit base",),
    "generator.base_rounds": ("fit base",),
    "generator.base_steps": ("fit base",),
    "generator.branch_steps": ("fit branches",),
    "synthetic.per_site": ("fit branches",),
    "synthetic.shard_size": ("synthesise",),
    "synthetic.audit_quantile": ("audit",),
    "synthetic.max_veto_share": ("audit",),
    "synthetic.broadcast": ("audit",),
    **dict.fromkeys(
        ("robust.parts", "robust.part_steps", "robust.part_adherence", "robust.part_margin"), (SCORE_PARTS,)
    ),
    "teacher": ("adapt teacher",),
    "teacher_variant": ("adapt teacher",),
    "teacher_image_size": ("adapt teacher",),
    "distillation": (),
    "server_distillation": (HEAD_START,),
    "schedule.site_supervised_weight": (HEAD_START,),
    "schedule.site_kl_weight": (HEAD_START,),
    "schedule.soft_label_ensemble": (HEAD_START,),
    "schedule.head_start_learning_rate": (HEAD_START,),
    "schedule.head_start_steps": (HEAD_START, FEDAVG),
    "schedule.head_start_ramp_steps": (HEAD_START,),
    **dict.fromkeys(
        ("light.rate_schedule", "light.ramp_steps", "light.keep_optimizer", "light.epochs_per_round"), TRAINED
    ),
    **dict.fromkeys(LOSS_AND_STEPS, (HEAD_START, *TRAINED)),
    **dict.fromkeys(("light.batch_size", "light_settings.loss"), (SCORE_PARTS, HEAD_START, *TRAINED)),
    **dict.fromkeys(("refit.learning_rate", "refit.clip_norm"), (SCORE_PARTS, FEDAVG)),
    "refit": (FEDAVG,),
    "guard": (FEDAVG, FEDPROX),
    "schedule.average_rounds": (),
    "schedule": (FEDAVG,),
    "rounds": (FEDAVG, FEDPROX, LOCAL, CENTRALISED),
    "compare.fedprox_mu": (FEDPROX,),
    "compare.equal_steps": (FEDAVG,),
    "compare": (),
    "legacy_eval": (),
    "timeouts": (),
}
"""What a setting, or a section of settings, changes first; the longest name counts. A setting that is not here changes
everything. The schedule is here because FedAvg at equal steps takes as many steps as it asks for."""


def reusable_stages(before: Settings, now: Settings, other_teacher_weights: bool = False) -> tuple[str, ...]:
    """Return the stages whose results stand under the settings ``now`` if they were made under ``before``."""
    old, new = _values(before), _values(now)
    touched = {"adapt teacher"} if other_teacher_weights else set()
    for key in old.keys() | new.keys():
        if old.get(key) != new.get(key):
            touched |= set(_touched_by(key))
    first = min((CHAIN.index(stage) for stage in touched if stage in CHAIN), default=len(CHAIN))
    return tuple(stage for stage in STORED if stage not in touched and stage not in CHAIN[first:])


def _values(settings: Settings) -> dict[str, Any]:
    """Return all settings by dotted key; what is laid over the light network as it holds for its bundle."""
    return dict(dotted({**settings.to_dict(), "light_settings": settings.light_values}))


def _touched_by(key: str) -> tuple[str, ...]:
    parts = key.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((INVALIDATES[name] for name in names if name in INVALIDATES), tuple(STORED))
