# SPDX-License-Identifier: Apache-2.0
"""Bytes per site at the paper's scale, counted as they go through NVFlare.

A real federation with the preset full_scale in NVFlare's simulator: every tensor has its real shape and travels by the
product's own code (requests, differences down, error feedback, filters, file pulls), and the ledger counts it. Only
what the sites would compute is random (`dsfedmed_benchmarks.dummy_sites.dummy_site`). Normal draws are a cautious
stand-in for real updates: of all values with one deviation they are the hardest to code.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dsfedmed.data.facts import FederationFacts
from dsfedmed.exchange.tensors import TensorSpec, check_tensors
from dsfedmed.exchange.updates import Shapes, shapes_of, uncoded_size
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.server.plan import FederationPlan, make_plan
from dsfedmed.federated.server.stages.rounds import light_training
from dsfedmed.federated.server.stages.synthetic_set import FOLDER, audit
from dsfedmed.federated.server.training_run import train_round, validate_training
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.generator import BranchReply, BranchRequest, MasksReply, MasksRequest
from dsfedmed.federated.wire.tasks import BRANCH, MASKS
from dsfedmed.flare.controller import WorkflowController
from dsfedmed.flare.recipe import TASK_PATTERN, update_tasks
from dsfedmed.generator.packing import unpack_label_maps
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.settings import Settings, read_run
from dsfedmed.store.json_types import Json
from dsfedmed_benchmarks.dummy_sites.dummy_site import DECAY, STEP, DummySite
from dsfedmed_benchmarks.dummy_sites.random_set import write_random_set
from dsfedmed_benchmarks.dummy_sites.simulation import DummyFederation, simulate
from dsfedmed_benchmarks.measurement.process_memory import MIB
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment
from dsfedmed_benchmarks.paper_scale.shapes import branch_shapes

JOB = "wire"
FACTS = FederationFacts(3, 1, ("lesion",), True)
NO_GENERATOR_BASE = "0" * 64
"""In place of the hash of a Stable Diffusion folder, which no dummy site has."""
PAPER_ROUNDS = 100
FEDSAM_MIB, PAPER_MIB = 71_538.0, 8_920.0
"""Per site over 100 rounds: FedSAM (2 x 100 x 357.68) and DSFedMed as the paper has them."""
PAYLOADS = {
    ("fit branches", "up"): "branch and masks",
    ("audit", "down"): "synthetic set",
    ("rounds", "down"): "light network: first reference, then differences",
    ("rounds", "up"): "light network: updates",
    ("distillation", "down"): "light network after each distillation",
}
COLUMNS = ("payload", "direction", "messages per site", "MiB per site")


@dataclass(frozen=True)
class WireOptions:
    """What is run.

    Attributes:
        sites: number of sites.
        preset: path of the preset.
        set: settings to override, as KEY=VALUE.
        bundles: folder of the bundles.
        work: where the federation runs; the folder is emptied first.
    """

    sites: int = 3
    preset: Path = Path("jobs/dsfedmed/presets/full_scale.yaml")
    set: tuple[str, ...] = ()
    bundles: Path = Path("bundles")
    work: Path = Path("runs/bench/wire")


class Wire(FederatedWorkflow):
    """The stages of the paper that move anything, with nothing computed in between."""

    METHOD = JOB

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:  # noqa: ARG003 (the base's signature)
        """Name the stages."""
        return ("fit branches", "synthesise", "audit", "rounds", "distillation")

    def work(self) -> None:
        """Branches and masks up, the set down, rounds both ways, and the distilled network down for validation."""
        plan = make_plan(self.settings, self.config, FACTS, dict.fromkeys(self.sources, 1))
        self._branches(plan)
        settings = self.settings
        with self.stage("synthesise"):
            per_site, shard_size = settings.synthetic.per_site, settings.synthetic.shard_size
            sizes = settings.image_size, FACTS.channels, shard_size
            manifest = write_random_set(self.folder / FOLDER, self.sources, per_site, *sizes)
        audit(self, plan, manifest)
        state = TrainingState(plan.start_weights())
        self.record.put(shapes={name: list(shape) for name, shape in shapes_of(state.weights).items()})
        with self.stage("rounds"):
            for number in range(1, settings.rounds + 1):
                state = train_round(self, plan, light_training(self.settings), state)
                self.progress.step(number, settings.rounds)
        with self.stage("distillation"):
            self._distil(plan, state)

    def _branches(self, plan: FederationPlan) -> None:
        specs = {name: TensorSpec(shape) for name, shape in branch_shapes(plan.generator).items()}
        size, count = self.settings.image_size, self.settings.synthetic.per_site

        def take_branch(site: str, reply: Envelope[BranchReply]) -> None:
            check_tensors(reply.tensors, specs, site)

        def take_masks(site: str, reply: Envelope[MasksReply]) -> None:
            unpack_label_maps(reply.tensors, FACTS.num_classes, size, site)

        with self.stage("fit branches"):
            base = None if plan.generator.is_embedded else NO_GENERATOR_BASE
            asked = BranchRequest(plan.common, plan.generator, base, self.settings.generator.branch_steps)
            self.ask(BRANCH, Envelope(asked), on_reply=take_branch)
            self.ask(MASKS, Envelope(MasksRequest(plan.common, count)), on_reply=take_masks)

    def _distil(self, plan: FederationPlan, state: TrainingState) -> None:
        """Move the weights as an epoch of distillation at the server would, and let the sites validate them."""
        for epoch in range(1, self.settings.schedule.epochs + 1):
            draws = generator(derive_seed(self.settings.seed, "distillation", epoch))
            for name, tensor in state.weights.items():
                state.weights[name] = tensor + torch.empty_like(tensor).normal_(0.0, STEP, generator=draws)
            state.round += 1
            state.curve.append({"round": state.round, "local_steps": 0, "validation": {}, "loss": {}})
            validate_training(self, plan, light_training(self.settings), state)

    def _close(self, verdict: str) -> None:
        """Give the verdict; there is no result to report on."""
        self.record.finish(verdict)


class WireController(WorkflowController):
    """NVFlare's controller of `Wire`.

    Args:
        configuration: the run's settings as nested mappings, kept for NVFlare's job export.
    """

    def __init__(self, configuration: dict[str, Json]) -> None:
        super().__init__(Wire(Settings.from_dict(configuration)))
        self.configuration = configuration


def run(options: WireOptions) -> Benchmark:
    """Run the federation and read its ledger.

    Raises:
        ConfigError: the preset or an override is wrong.
        DSFedMedError: the federation did not complete.
    """
    settings = read_run(options.preset, (*options.set, f"min_sites={options.sites}"))
    shutil.rmtree(options.work, ignore_errors=True)
    record = simulate_wire(settings, options)
    shapes = {name: tuple(shape) for name, shape in record["shapes"].items()}
    rows = rows_of(record["bytes"]["entries"], record["sites"], settings.rounds)
    title = "Bytes per site at the paper's scale, through NVFlare"
    return Benchmark(JOB, title, COLUMNS, rows, notes_of(settings, options, shapes), environment())


def simulate_wire(settings: Settings, options: WireOptions) -> dict[str, Any]:
    """Run the federation in NVFlare's simulator and return its record."""
    names = [f"site_{number}" for number in range(1, options.sites + 1)]
    federation = DummyFederation(WireController(settings.to_dict()), DummySite(), TASK_PATTERN, update_tasks())
    return simulate(federation, names, SimulatedSites(options.work, options.work, options.bundles))


def rows_of(entries: list[dict[str, Any]], sites: list[str], rounds: int) -> list[list[Cell]]:
    """Return a row a payload, one for everything else, the sum, and what it is compared with.

    FedSAM's and the paper's figures are for 100 rounds; for another number they are scaled.
    """
    found: dict[tuple[str, str], list[float]] = {key: [0.0, 0.0] for key in (*PAYLOADS, ("", "both"))}
    for entry in entries:
        key = (entry["stage"], entry["direction"])
        sums = found[key if key in PAYLOADS else ("", "both")]
        sums[0] += entry["messages"] / len(sites)
        sums[1] += entry["bytes"] / MIB / len(sites)
    total = sum(size for _, size in found.values())
    rows: list[list[Cell]] = [
        [PAYLOADS.get(key, "everything else"), key[1], round(messages), size] for key, (messages, size) in found.items()
    ]
    fedsam, paper = FEDSAM_MIB * rounds / PAPER_ROUNDS, PAPER_MIB * rounds / PAPER_ROUNDS
    rows.append(["all", "both", round(sum(messages for messages, _ in found.values())), total])
    rows.append(["FedSAM", "both", None, fedsam])
    rows.append(["DSFedMed in the paper", "both", None, paper])
    rows.append(["fewer bytes than FedSAM (%)", "both", None, 100 * (1 - total / fedsam)])
    return rows


def notes_of(settings: Settings, options: WireOptions, shapes: Shapes) -> tuple[str, ...]:
    """Say what was run, and what the reader must know."""
    numbers = sum(math.prod(shape) for shape in shapes.values())
    plain = uncoded_size(shapes) / MIB
    return (
        f"Preset {settings.preset}, {options.sites} sites, {settings.rounds} rounds, {settings.schedule.epochs} "
        f"epochs of distillation, {settings.synthetic.per_site} pairs per site at {settings.image_size} px"
        + (f"; {', '.join(options.set)}." if options.set else "."),
        f"Light network: {numbers:,} numbers travel, {settings.light.precision} both ways; an int8 update without "
        f"entropy coding is {plain:.2f} MiB, so the rounds' updates would be {plain * settings.rounds:.0f} MiB.",
        f"Sites train nothing: an update is a normal draw of deviation {STEP} x {DECAY}^round per number.",
        "FedSAM: 2 x 100 x 357.68 MiB, and DSFedMed's 8,920 MiB, as the paper has them.",
        "MiB counted by the run's ledger from NVFlare's messages, serialised; transport framing is not in it.",
    )
