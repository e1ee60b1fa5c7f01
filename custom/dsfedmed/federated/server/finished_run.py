# SPDX-License-Identifier: Apache-2.0
"""What can be read from a finished run: settings, generator, branches, masks, and the sites' own images."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.facts import SiteFacts, merge_facts
from dsfedmed.devices import on_device
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.party.generator_base import load_generator_base
from dsfedmed.federated.party.layout import site_folders
from dsfedmed.federated.server.plan import FederationPlan, make_plan
from dsfedmed.federated.server.stages.generators import stored_branch, stored_masks
from dsfedmed.generator.networks.base import GeneratorBase
from dsfedmed.generator.networks.branch import build_branch, load_branch_state
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json
from dsfedmed.store.run_version import begun_config, require_run_of_this_version
from dsfedmed.store.stage_store import StageStore


@dataclass(frozen=True)
class FinishedRun:
    """A finished run's store and the sites it was made with; nothing of it is changed.

    Attributes:
        store: the run's stage store.
        plan: the run's networks and what its sites agreed on.
        sources: the source sites.
        sites: folder with one folder per site.
        party: bundles, device and, where the generator builds on one, the Stable Diffusion folder.
    """

    store: StageStore
    plan: FederationPlan
    sources: tuple[str, ...]
    sites: Path
    party: PartyConfig
    _validation: dict[str, SiteArrays] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, sites: Path, party: PartyConfig) -> FinishedRun:
        """Open ``folder`` (a run's ``--out``) beside its sites and what this machine has.

        Raises:
            StoreError: another version of the program made the run.
        """
        require_run_of_this_version(folder)
        config = begun_config(folder)
        settings = Settings.from_dict(config["settings"])
        facts = read_json(folder / "record.json")["facts"]
        sources = tuple(site for site in config["sites"] if site in facts)  # others were left out of the run
        told = {site: SiteFacts.from_dict(facts[site]) for site in sources}
        counts = {site: facts.counts["training"] for site, facts in told.items()}
        plan = make_plan(settings, party, merge_facts(told), counts)
        return cls(StageStore(folder / "store", config), plan, sources, sites, party)

    @cached_property
    def branch_sites(self) -> tuple[str, ...]:
        """The sites whose branch is there, in the run's order."""
        return tuple(self.store.get("fit branches").info["sites"])

    @cached_property
    def generator_base(self) -> GeneratorBase:
        """The run's frozen generator."""
        base = self.store.get("fit base").tensors if self.plan.generator.is_embedded else {}
        return load_generator_base(self.plan.generator, self.party, base)

    def masks(self, site: str) -> Tensor:
        """Return the site's label maps to sample from, uint8 (N, 1, S, S)."""
        return stored_masks(self.store, site)

    def branch(self, site: str) -> ControlNetModel:
        """Return the site's branch."""
        branch = build_branch(self.generator_base, self.plan.generator)
        load_branch_state(branch, stored_branch(self.store, site), site)
        return on_device(branch.eval(), self.party.device)

    def validation(self, site: str) -> SiteArrays:
        """Return the validation images of a source site, read once."""
        if site not in self._validation:
            bundle, folder = self.plan.light_bundle, self.sites / site_folders(self.sites)[site]
            self._validation[site] = load_part(load_datalist(folder), "validation", bundle.preprocessing())
        return self._validation[site]
