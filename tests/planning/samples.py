# SPDX-License-Identifier: Apache-2.0
"""Small made-up parts of a plan, with numbers that can be followed by hand."""

from __future__ import annotations

from typing import Any

from dsfedmed.planning.fingerprint import ClassFingerprint, SiteFingerprint
from dsfedmed.planning.look import ImageLook
from dsfedmed.planning.scene import Scene, SiteSize
from dsfedmed.planning.sizes import Numbers
from dsfedmed.settings import Settings

STAGES = (
    "check sites", "fit base", "fit branches", "synthesise", "audit", "score parts", "adapt teacher", "head start",
    "rounds", "compare fedavg", "compare equal steps", "compare local", "evaluate", "evaluate comparison", "release",
)  # fmt: skip
FEDBN = ("check sites", "rounds", "compare fedavg", "evaluate", "evaluate comparison", "release")
NUMBERS = Numbers(light=1000, teacher=5000, base=2000, branch=300)
SITES = (
    SiteSize("a", training=20, validation=5, test=4),
    SiteSize("b", training=8, validation=3, test=2),
    SiteSize("c", training=9, validation=2, test=1),
    SiteSize("d", training=30, validation=7, test=6, takes_part=False),
)


def scene(stages: tuple[str, ...] = STAGES, sites: tuple[SiteSize, ...] = SITES, **changes: Any) -> Scene:
    """Three sites that take part; in batches of 8 they take 3, 1 and 2 steps a pass, and two passes make a round."""
    method, public = changes.pop("method", "dsfedmed"), changes.pop("public", (0, 0))
    values: dict[str, Any] = {
        "rounds": 4,
        "method": changes.pop("options", {}),
        "light": {"batch_size": 8, "epochs_per_round": 2, **changes.pop("light", {})},
        "generator": {"base_rounds": 2, "base_steps": 5, "branch_steps": 7},
        "synthetic": {"per_site": 10},
        "teacher": {"epochs": 3, "batch_size": 16},
        "schedule": {"distil_at": "server", "warmup_rounds": 1, "interval_rounds": 2, "head_start_steps": 11,
                     "site_kl_weight": 0.0, **changes.pop("schedule", {})},
        "robust": {"part_steps": 13, **changes.pop("robust", {})},
    }  # fmt: skip
    return Scene(Settings.from_dict({**values, **changes}), sites, stages, 3, 1, method, public)


def look(**changes: Any) -> ImageLook:
    """An image of 40 x 30 px with one bright object of a fifth of its side."""
    values: dict[str, Any] = {
        "size": (40, 30), "spacing": None, "mean": 0.3, "deviation": 0.1, "low": 0.1, "high": 0.5, "edges": 0.01,
        "contrast": 0.2, "areas": (0.04,), "objects": ((0.2,),),
    }  # fmt: skip
    return ImageLook(**{**values, **changes})


def site(name: str = "a", training: int = 100, side: int = 256, across: float | None = 0.2) -> SiteFingerprint:
    """A site's fingerprint."""
    return SiteFingerprint(
        name=name,
        takes_part=True,
        counts={"training": training, "validation": 20, "test": 30},
        cases=150,
        channels=3,
        kinds=(".png",),
        looked_at=120,
        sides=(side, side // 2),
        shortest=side // 2,
        longest=side,
        spacing=(0.5, 0.25),
        classes=(ClassFingerprint("lesion", 0.9, 0.04, across),),
        grey=(0.3, 0.1, 0.05, 0.6),
        contrast=-0.15,
        brighter=0.1,
    )
