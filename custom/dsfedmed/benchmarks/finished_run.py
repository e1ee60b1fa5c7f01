# SPDX-License-Identifier: Apache-2.0
"""What a benchmark reads from a finished run: settings, generator, branches, masks, and the sites' own images."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.facts import SiteFacts, merge_facts
from dsfedmed.federated.plan import Plan, make_plan
from dsfedmed.federated.site_config import SiteConfig
from dsfedmed.federated.stages.generators import stored_branch, stored_masks
from dsfedmed.generator.branch import build_branch, load_branch_state
from dsfedmed.generator.diffusion import build_base, embedded_foundation
from dsfedmed.generator.foundation import Foundation
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json
from dsfedmed.store.stage_store import StageStore


@dataclass(frozen=True)
class FinishedRun:
    """A finished run's store and the sites it was made with; nothing of it is changed.

    Attributes:
        store: the run's stage store.
        plan: the run's networks and what its sites agreed on.
        sources: the source sites.
        sites: folder with one folder per site.
    """

    store: StageStore
    plan: Plan
    sources: tuple[str, ...]
    sites: Path
    _validation: dict[str, SiteArrays] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, sites: Path, bundles: Path) -> FinishedRun:
        """Open ``folder`` (a run's ``--out``) beside its sites and the bundle it was trained with."""
        config = read_json(folder / "store" / "config.json")["config"]
        settings = Settings.from_dict(config["settings"])
        sources = tuple(config["sites"])
        told = {site: SiteFacts.from_dict(read_json(folder / "record.json")["facts"][site]) for site in sources}
        counts = {site: facts.counts["training"] for site, facts in told.items()}
        plan = make_plan(settings, SiteConfig(bundles=bundles), merge_facts(told), counts)
        return cls(StageStore(folder / "store", config), plan, sources, sites)

    @cached_property
    def _together(self) -> dict[str, Tensor]:
        """Branches and masks as runs before version 0.3 kept them: of all sites in one file."""
        return self.store.get("fit branches").tensors

    @property
    def branch_sites(self) -> tuple[str, ...]:
        """The sites whose branch is there, in the run's order."""
        return tuple(self.store.get("fit branches").info["sites"])

    def masks(self, site: str) -> Tensor:
        """Return the site's label maps to sample from, uint8 (N, 1, S, S)."""
        return self._together[f"{site}/masks"] if self._together else stored_masks(self.store, site)

    def networks(self, site: str) -> tuple[Foundation, ControlNetModel]:
        """Return the frozen foundation and the site's branch."""
        base = build_base(self.plan.generator)
        base.load_state_dict(self.store.get("fit base").tensors)
        foundation = embedded_foundation(base.eval(), self.plan.generator)
        branch = build_branch(foundation, self.plan.generator)
        prefix = f"{site}/branch/"
        kept = {name[len(prefix) :]: t for name, t in self._together.items() if name.startswith(prefix)}
        load_branch_state(branch, kept or stored_branch(self.store, site), site)
        return foundation, branch.eval()

    def validation(self, site: str) -> SiteArrays:
        """Return the validation images of a source site, read once."""
        if site not in self._validation:
            bundle = self.plan.light_bundle
            self._validation[site] = load_part(load_datalist(self.sites / site), "validation", bundle.preprocessing())
        return self._validation[site]
