# SPDX-License-Identifier: Apache-2.0
"""What gate and trials cost where every site is honest: FedAvg with the default and with the plain mean, by turns.

Only the rounds are timed, in one process without NVFlare: there every second is training, validation or the check of
updates, so that the share is the largest there can be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.federated.server.stages.check_sites import check_sites
from dsfedmed.federated.server.training_run import TrainingSpec, train_all_rounds
from dsfedmed.settings import Settings
from dsfedmed_benchmarks.measurement.clock import Spent, timed
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment
from dsfedmed_benchmarks.poison.federation import MODEL, FedAvgAlone, honest_transport
from dsfedmed_benchmarks.poison.table import RULES, TRAINING

COLUMNS = ("sites", "rounds", "plain mean (s a round)", "default (s a round)", "more (%)", "the same weights")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class TrialsOptions:
    """What is run.

    Attributes:
        sites: folder of a federation's sites; four made ones where none is named.
        bundles: folder of the bundles.
        rounds: of each run.
        turns: pairs of runs; the best of each counts.
    """

    sites: Path | None = None
    bundles: Path = Path("bundles")
    rounds: int = 50
    turns: int = 2

    def __post_init__(self) -> None:
        """Refuse counts below 1."""
        if min(self.rounds, self.turns) < 1:
            raise ConfigError("trials", "rounds and turns run from 1", "Give --rounds 50 --turns 2")


class TimedRounds(FedAvgAlone):
    """FedAvg whose rounds are timed."""

    spent: Spent
    weights: Weights

    def work(self) -> None:
        """Train."""
        plan = check_sites(self)
        start = plan.start_weights()
        state, self.spent = timed(lambda: train_all_rounds(self, plan, TrainingSpec(MODEL), start), CPU)
        self.weights = state.weights


def run(options: TrialsOptions) -> Benchmark:
    """Measure.

    Raises:
        DSFedMedError: a run does not come to its end.
    """
    best: dict[str, float] = {}
    last: dict[str, Weights] = {}
    with tempfile.TemporaryDirectory(prefix="trials-") as scratch:
        sites = options.sites or Path(scratch) / "sites"
        if options.sites is None:
            make_demo_sites(sites, training=80, validation=20, test=2)
        names = site_names(sites)
        for turn in range(options.turns):
            for rule in ("none", "default"):
                layout = SimulatedSites(sites.resolve(), Path(scratch) / f"{rule}-{turn}", options.bundles.resolve())
                values = {**TRAINING, "preset": "trials", "rounds": options.rounds, "robust": RULES[rule]}
                federation = TimedRounds(Settings.from_dict(values))
                federation.run(honest_transport(federation.settings, layout, names))
                best[rule] = min(best.get(rule, float("inf")), federation.spent.cpu / options.rounds)
                last[rule] = federation.weights
    same = all(torch.equal(tensor, last["default"][name]) for name, tensor in last["none"].items())
    name = options.sites.name if options.sites else "made"
    more = 100 * (best["default"] / best["none"] - 1)
    rows: list[Sequence[Cell]] = [
        [f"{name} ({len(names)})", options.rounds, best["none"], best["default"], more, "yes" if same else "no"]
    ]
    notes = (
        "FedAvg of the light network in one process: seconds of CPU time a round, all sites and the server together, "
        f"the best of {options.turns} runs that alternate.",
        "Trials are held after 2, 8, 32 rounds ... and after a fall of the validation.",
    )
    return Benchmark("trials", "What gate and trials cost a round", COLUMNS, rows, notes, environment())
