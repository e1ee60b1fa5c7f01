# SPDX-License-Identifier: Apache-2.0
"""A federation of sites that answer with random updates: the server's own part of a round, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from nvflare.job_config.api import FedJob
from nvflare.recipe.sim_env import SimEnv
from torch import Tensor

from dsfedmed.errors import DSFedMedError
from dsfedmed.exchange.compression import pack
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.server.averaging import federated_average
from dsfedmed.federated.server.run_record import FILE_NAME
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Message
from dsfedmed.flare.task_signal import TaskSignal
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.networks.tiny_sam import TinySam
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json
from dsfedmed_benchmarks.dummy_sites import CLASS_PREFIX
from dsfedmed_benchmarks.dummy_sites.random_site import RandomSite
from dsfedmed_benchmarks.measurement.process_memory import peak_mib, reset_peak, resident_mib

JOB = "random_updates"
TASK = "dsf_random"
TRANSFER_S = 2.0
"""Allowed for the way down; then, when they have drawn their updates, all sites answer at once."""


class RandomUpdates(FederatedWorkflow):
    """Rounds of weights down, updates up and their weighted mean, with the server's memory noted.

    Args:
        configuration: settings; only ``min_sites``, ``rounds`` and ``timeouts`` matter.
        network: whose tensors travel, a key of `NETWORKS`.
    """

    METHOD = JOB

    def __init__(self, configuration: dict[str, Any], network: str) -> None:
        super().__init__(configuration)
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
                info = {"round": number, "not_before": started + pause}
                request = Message(info, pack(weights, "fp16"))
                weights, replies = federated_average(self, TASK, request, weights, counts, ("drawn_s",))
                seconds = time.time() - started
                rounds.append({"seconds": seconds, "waited": pause, "peak_mib": peak_mib(), "end_mib": resident_mib()})
                pause = max(float(reply.info["drawn_s"]) for reply in replies.values()) + TRANSFER_S
                self.record.put(memory={**self.record.data["memory"], "rounds": rounds})

    def _close(self, verdict: str) -> None:
        """Give the verdict; there is nothing to report on."""
        self.record.finish(verdict)


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
    workspace = out / "nvflare" / JOB
    prepare_workspace(workspace, SimulatedSites(out, out, out), (CLASS_PREFIX,))
    environment = SimEnv(
        clients=names,
        num_threads=sites,
        workspace_root=str(workspace.parent.resolve()),
        log_config=str((workspace / "local" / "log_config.json").resolve()),
    )
    job = FedJob(name=JOB, min_clients=sites)
    job.to_server(RandomUpdates(settings.to_dict(), network), id=JOB)
    job.to_clients(RandomSite(), tasks=[TASK])
    job.to_clients(TaskSignal(), id="bell")
    job.set_app_packages(["dsfedmed", "dsfedmed_benchmarks"])
    environment.deploy(job)
    record: dict[str, Any] = read_json(out / FILE_NAME)
    if record["verdict"] != "complete":
        raise DSFedMedError(out, f"the federation ended with {record['verdict']}", "Read the log files there")
    return record
