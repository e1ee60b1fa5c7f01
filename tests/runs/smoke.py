# SPDX-License-Identifier: Apache-2.0
"""The smallest run of each method that does everything, and its sites; over NVFlare and in process it is one run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.installation.shipped import job_folder
from dsfedmed.methods import METHODS
from dsfedmed.settings import Settings, merge, read_preset

RATE = 0.25
"""SAM-Fed's rounds train at this part of the network's own rate."""
WHOLE: dict[str, dict[str, Any]] = {
    "dsfedmed": {
        "compare": dict.fromkeys(("fedsam", "fedmsa", "fedprox", "centralised"), True),
        "refit": {"steps": 2},
        "schedule": {"joint_weight": 0.5},
    },
    "pfedsam": {
        "light": {"precision": "fp32", "batch_size": 4},
        "method": {"learning_rate": 0.01},
        "compare": {"cross_site": True},
    },
    "samfed": {"method": {"label_site": "site_a", "rate_factor": RATE}},
    **{key: {"method": {"label_site": "site_a"}} for key in ("fixmatch", "meanteacher", "lssl")},
    "fedbn": {"light": {"batch_size": 3, "epochs_per_round": 2}},
    "silobn": {"light": {"bundle": "light_flexible_unet_segmentation"}},
    **{key: {"light": {"keep_optimizer": True}} for key in ("fedavgm", "fedadam", "fedyogi")},
}
"""By method, what its whole run has besides the preset: every comparison, refit and joint steps; rates at which
something moves, and whole weights in fp32 on the wire; labels at one site alone; more steps than one a round; something
that a site keeps of a round; a network with batch statistics."""
ALONE = {"local": False, "fedavg": False, "equal_steps": False, "teacher": False}
"""No method that DSFedMed is compared with."""
COUNTS = {"training": 12, "validation": 12, "test": 6}


def smoke(job: str = "dsfedmed", **changes: Any) -> Settings:
    """Return the smoke preset of a method's job, with site_d held out, and changes laid over it."""
    values = read_preset(job_folder(job) / "presets" / "smoke.yaml")
    return Settings.from_dict(merge(merge(values, {"preset": "smoke", "unseen": ["site_d"]}), changes))


def whole(method: str) -> Settings:
    """Return the settings of a method's whole run."""
    return smoke(method, **WHOLE.get(method, {}))


@dataclass(frozen=True)
class Place:
    """The sites of a method's whole run, and further paths of its simulation."""

    sites: Path
    paths: dict[str, Path]

    @classmethod
    def of(cls, method: str, sites: Path, unlabelled: Path) -> Place:
        """Return sites without labels, with one that has them as the public set, where the method has one."""
        return cls(unlabelled, {"public": unlabelled / "site_a"}) if METHODS[method].public else cls(sites, {})


def remove_labels(folder: Path, sites: Sequence[str]) -> None:
    """Take every label of a training image, and the validation part, from sites."""
    for site in sites:
        file = folder / site / "datalist.json"
        content = json.loads(file.read_text())
        for item in content["training"]:
            (folder / site / item.pop("label")).unlink()
        content["validation"] = []
        file.write_text(json.dumps(content))


def unlabelled_copy(sites: Path, folder: Path, unlabelled: Sequence[str]) -> Path:
    """Copy sites to ``folder``, make those of ``unlabelled`` that are not among them, and remove their labels."""
    shutil.copytree(sites, folder)
    missing = tuple(site for site in unlabelled if not (folder / site).exists())
    if missing:
        make_demo_sites(folder, 0, missing, **COUNTS)
    remove_labels(folder, unlabelled)
    return folder
