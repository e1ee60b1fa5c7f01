# SPDX-License-Identifier: Apache-2.0
"""A complete federation in this process, in seconds; one of its sites may be another than it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsfedmed.federated.local.in_process import InProcessWorker
from dsfedmed.federated.local.site import LocalSite
from dsfedmed.federated.local.transport import LocalTransport
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.layout import SimulatedSites, write_party_config
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.site.task_progress import ProgressCallback
from dsfedmed.federated.wire.message import Message
from dsfedmed.settings import Settings, merge
from dsfedmed.store.files import read_json
from tests.runs.tiny import NOTHING, TINY

ROOT = Path(__file__).resolve().parents[3]
BUNDLES = ROOT / "bundles"
HOSTILE = "site_c"
SOURCES = ("site_a", "site_b", HOSTILE)
UNSEEN = "site_d"
ALONE = {**NOTHING, "local": True}
OF_METHOD: dict[str, dict[str, Any]] = {
    "dsfedmed": {"compare": ALONE},
    **{
        method: {"compare": NOTHING}
        for method in ("fedbn", "scaffold", "moon", "ditto", "fedrep", "finetuned", "fedrdn", "feddg")
    },
    "silobn": {"compare": NOTHING, "light": {"bundle": "light_flexible_unet_segmentation"}},
    "pfedsam": {"compare": NOTHING, "method": {"warmup_rounds": 0}},
    "samfed": {
        "compare": NOTHING,
        "min_sites": 1,
        "method": {"label_site": "site_a", "public_epochs": 1, "ramp_rounds": 1},
    },
    "fixmatch": {"compare": NOTHING, "min_sites": 1, "method": {"label_site": "site_a", "public_epochs": 1}},
    "samfed_of_each": {
        "compare": NOTHING,
        "min_sites": 1,
        "method": {
            "label_site": "site_a", "public_epochs": 1, "ramp_rounds": 1, "condensation_epochs": 1,
            "site_bundles": {HOSTILE: "light_unet_segmentation"},
        },
    },
}  # fmt: skip
"""Each method; of SAM-Fed, one network for all sites, and a network of each site's own."""
GUARDED_BY_OTHERS = ("fedrep", "finetuned", "silobn")
"""Cases whose replies are checked by the code that another one goes through (slow): that of fedbn, and a stage's own
(``tests/federated/server/stages/own/test_fine_tuning.py``)."""
Tamper = Callable[[str, Message, Message], Message]
"""Returns another reply than the honest one, of a task, its request and that reply."""


def tiny_settings(case: str, **changes: Any) -> Settings:
    """Return the smallest settings of a case of `OF_METHOD`."""
    return Settings.from_dict(merge(merge({**TINY, "unseen": [UNSEEN]}, OF_METHOD[case]), changes))


@dataclass
class Deeds:
    """What a site was asked, and what it answered: as it travelled."""

    requests: list[tuple[str, Message]] = field(default_factory=list)
    replies: list[tuple[str, Message]] = field(default_factory=list)


class HostileSite(LocalSite):
    """A site whose owner changes what leaves it."""

    def __init__(self, name: str, folder: Path, worker: InProcessWorker, deeds: Deeds, tamper: Tamper | None) -> None:
        super().__init__(name, folder, worker)
        self.deeds, self.tamper = deeds, tamper

    def answer(self, task: str, request: Message, on_progress: ProgressCallback) -> tuple[Message, int]:
        self.deeds.requests.append((task, request))
        reply, fetched = super().answer(task, request, on_progress)
        self.deeds.replies.append((task, reply))
        return (self.tamper(task, request, reply) if self.tamper else reply), fetched


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    record: dict[str, Any]
    folder: Path
    deeds: Deeds

    @property
    def verdict(self) -> str:
        return str(self.record["verdict"])

    def events(self, site: str = HOSTILE) -> list[tuple[str, str]]:
        """Return kind and message of the events that name a site."""
        return [(event["kind"], event["message"]) for event in self.record["events"] if event["site"] == site]


def federate(
    case: str,
    folder: Path,
    sites: Path,
    tamper: Tamper | None = None,
    hostile: str = HOSTILE,
    transport: type[LocalTransport] = LocalTransport,
    workflow: type[FederatedWorkflow] | None = None,
    **changes: Any,
) -> Outcome:
    """Run a case of `OF_METHOD` with all sites in this process; an error that is none of ours is the caller's."""
    settings, deeds = tiny_settings(case, **changes), Deeds()
    server = workflow(settings) if workflow else workflow_of(case.partition("_")[0], settings)
    local = folder / "local"
    local.mkdir(parents=True)
    layout = SimulatedSites(sites, folder / "run", BUNDLES, public=sites / "site_a", send_amplitudes=True)
    write_party_config(local, layout)
    parties = {}
    for name in sorted(path.name for path in sites.iterdir()):
        config = load_party_config(local, name)
        assert config.output is not None
        config.output.mkdir(parents=True)
        worker, watched = InProcessWorker(name, config, config.output), name == hostile
        parties[name] = HostileSite(
            name, config.output, worker, deeds if watched else Deeds(), tamper if watched else None
        )
    server.run(transport(local, parties, False))
    return Outcome(read_json(folder / "run" / "record.json"), folder, deeds)
