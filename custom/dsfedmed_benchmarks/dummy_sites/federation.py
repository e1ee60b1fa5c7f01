# SPDX-License-Identifier: Apache-2.0
"""A federation of sites that answer with random updates: the server's own part of a round, and nothing else."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.server.averaging import collected
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.flare.controller import WorkflowController
from dsfedmed.networks.tiny_sam import TinySam
from dsfedmed.settings import Settings
from dsfedmed.store.json_types import Json
from dsfedmed_benchmarks.dummy_sites.random_site import RANDOM, RandomReply, RandomRequest, RandomSite
from dsfedmed_benchmarks.dummy_sites.simulation import DummyFederation, simulate
from dsfedmed_benchmarks.measurement.process_memory import peak_mib, reset_peak, resident_mib

JOB = "random_updates"
TRANSFER_S = 2.0
"""Allowed for the way down; then, when they have drawn their updates, all sites answer at once."""


class RandomUpdates(FederatedWorkflow):
    """Rounds of weights down, updates up and their weighted mean, with the server's memory noted.

    Args:
        settings: only ``min_sites``, ``rounds`` and ``timeouts`` matter.
        network: whose tensors travel, a key of `NETWORKS`.
    """

    METHOD = JOB

    def __init__(self, settings: Settings, network: str) -> None:
        super().__init__(settings)
        self.network = network

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:  # noqa: ARG003 (the base's signature)
        """Name the one stage."""
        return ("rounds",)

    def work(self) -> None:
        """Do the rounds. All sites answer at the same moment, which is the worst case for the server."""
        with self.stage("rounds"):
            weights = {name: torch.zeros(shape) for name, shape in network_shapes(self.network).items()}
            counts = dict.fromkeys(self.sources, 1)
            rounds: list[dict[str, float]] = []
            pause = 1.0
            self.record.put(memory={"start_mib": resident_mib(), "rounds": rounds})
            for number in range(1, self.settings.rounds + 1):
                reset_peak()
                started = time.time()
                request = Envelope(RandomRequest(number, started + pause), pack(weights, "fp16"))
                check = partial(_check_round, number)
                with collected(self, RANDOM, request, weights, counts, check) as found:
                    weights, replies = found.average_by_form(self, RANDOM.name), found.replies
                seconds = time.time() - started
                rounds.append({"seconds": seconds, "waited": pause, "peak_mib": peak_mib(), "end_mib": resident_mib()})
                pause = max(reply.body.drawn_s for reply in replies.values()) + TRANSFER_S
                self.record.put(memory={**self.record.data["memory"], "rounds": rounds})

    def _close(self, verdict: str) -> None:
        """Give the verdict; there is nothing to report on."""
        self.record.finish(verdict)


class RandomUpdatesController(WorkflowController):
    """NVFlare's controller of `RandomUpdates`.

    Args:
        configuration: its settings as nested mappings.
        network: as there. Both attributes keep what came, for NVFlare's job export.
    """

    def __init__(self, configuration: dict[str, Json], network: str) -> None:
        super().__init__(RandomUpdates(Settings.from_dict(configuration), network))
        self.configuration, self.network = configuration, network


def _check_round(number: int, site: str, reply: RandomReply) -> None:
    if reply.round != number:
        raise PayloadError(site, f"answered round {reply.round} instead of {number}", SAME_VERSION)


def tiny_sam() -> TinySam:
    """Return TinySAM at 1024 pixels for one class, without storage."""
    with torch.device("meta"):
        return TinySam(1024)


NETWORKS = {"tiny_sam": tiny_sam, "small": lambda: torch.nn.Sequential(torch.nn.Linear(64, 512, device="meta"))}


def network_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what is trained in a network of `NETWORKS`, normalisation statistics included."""
    module = NETWORKS[network]()
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    state: dict[str, Tensor] = module.state_dict()
    return {n: tuple(t.shape) for n, t in state.items() if n not in frozen and t.is_floating_point()}


def simulate_random_updates(network: str, sites: int, rounds: int, out: Path) -> dict[str, Any]:
    """Run the federation in NVFlare's simulator, where the main process is the server, and return what it noted.

    Raises:
        DSFedMedError: the run did not complete.
    """
    names = [f"site_{number:02d}" for number in range(1, sites + 1)]
    settings = Settings.from_dict({"min_sites": sites, "rounds": rounds})
    controller = RandomUpdatesController(settings.to_dict(), network)
    federation = DummyFederation(controller, RandomSite(), [RANDOM.name])
    return simulate(federation, names, SimulatedSites(out, out, out))
