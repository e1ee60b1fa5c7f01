# SPDX-License-Identifier: Apache-2.0
"""What the privacy filters cost: FedAvg of the light network with updates that are clipped and noisy, in bare loops.

The loops are those of `dsfedmed_benchmarks.measurement.bare_fedavg`, with int8 and error feedback after the noise.
Epsilon is that of a whole site over the rounds of the table (`dsfedmed.exchange.accounting`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from torch import Tensor

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.errors import DSFedMedError
from dsfedmed.exchange.accounting import epsilon_of
from dsfedmed.exchange.noise import add_gaussian, clip_to_norm
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.wire.message import Envelope, reply_message
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.tasks import TRAIN
from dsfedmed.flare.codec import to_shareable
from dsfedmed.flare.privacy.egress_guard import EgressGuard
from dsfedmed.flare.privacy.gaussian import SENSITIVITY
from dsfedmed.options import require
from dsfedmed_benchmarks.measurement.bare_fedavg import Federation, Outcome, Training, WireFormat
from dsfedmed_benchmarks.measurement.clock import timed
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

DELTA = 1e-5
COLUMNS = ("filter", "clip", "noise multiplier", f"epsilon at {DELTA:g}", "up (KiB)", "seconds an update", "Dice (%)",
           "lost", "standard error")  # fmt: skip
REPEATS = 5


@dataclass(frozen=True)
class Filtered(WireFormat):
    """A row: int8 after clipping to ``clip`` (0: none) and noise of ``noise_multiplier * clip``."""

    precision: str = "int8"
    feedback: bool = True
    clip: float = 0.0
    noise_multiplier: float = 0.0


@dataclass(frozen=True)
class Options(Training):
    """What is trained, and after which filters.

    Attributes:
        rounds: rounds of FedAvg; they share the epsilon.
        clip: the clipping norm C.
        noise_multipliers: one row for each.
        work: folder where the outcome of each training is kept.
    """

    rounds: int = 20
    clip: float = 2.0
    noise_multipliers: tuple[float, ...] = (0.0005, 0.002, 0.01, 0.05, 4.5)
    work: Path = Path("runs/bench/privacy")

    def __post_init__(self) -> None:
        """Refuse numbers that give no row."""
        super().__post_init__()
        require(self.clip > 0, "clip", f"{self.clip} is not above 0", "Give 1")
        require(all(z > 0 for z in self.noise_multipliers), "noise_multipliers", "one is not above 0", "Give 0.01")


class PrivateFederation(Federation):
    """FedAvg with a filter at the sites."""

    def filtered(self, form: WireFormat, update: Weights, seed: int) -> Weights:
        """Clip and add noise, as the row says."""
        if not isinstance(form, Filtered) or not form.clip:
            return update
        return clipped_and_noisy(form, update, seed)


def clipped_and_noisy(form: Filtered, update: Mapping[str, Tensor], seed: int) -> Weights:
    """Return what `dsfedmed.flare.privacy.gaussian.GaussianMechanism` makes of an update, account aside."""
    clipped = clip_to_norm(update, form.clip)
    if not form.noise_multiplier:
        return clipped
    return add_gaussian(clipped, form.noise_multiplier * form.clip, seed)


def run(options: Options, say: Callable[[str], None] = print) -> Benchmark:
    """Train every row with every seed and compare with no filter."""
    federation = PrivateFederation.open(options)
    forms = [Filtered(), Filtered(clip=options.clip)]
    forms += [Filtered(clip=options.clip, noise_multiplier=z) for z in options.noise_multipliers]
    outcomes: dict[Filtered, list[Outcome]] = {form: [] for form in forms}
    for seed in range(options.seeds):
        for form, found in outcomes.items():
            found.append(federation.outcome(form, seed))
            said = f"clip {form.clip:g} noise {form.noise_multiplier:g}"
            say(f"seed {seed} {said}: Dice {100 * found[-1].dice:.2f}")
    plain = outcomes[forms[0]]
    update = _update_of(federation.bundle)
    rows = [_row(form, found, plain, options.rounds, _seconds(form, update)) for form, found in outcomes.items()]
    rows.insert(1, ("egress guard", *(None,) * 4, _guard_seconds(update, options.work), None, None, None))
    return Benchmark(
        "privacy",
        "What the privacy filters cost",
        COLUMNS,
        rows,
        (
            f"{options.described()} int8 with error feedback after the noise.",
            "Epsilon is the whole site's over all rounds of the table; no number: above 700, that is, no protection "
            "that could be stated. The guard changes nothing, so it has a time only.",
        ),
        environment(),
    )


def _row(
    form: Filtered, found: list[Outcome], plain: list[Outcome], rounds: int, seconds: float | None
) -> tuple[Cell, ...]:
    lost = [100 * (theirs.dice - ours.dice) for theirs, ours in zip(plain, found, strict=True)]
    same = found is plain
    epsilon = epsilon_of(math.sqrt(rounds) * SENSITIVITY / form.noise_multiplier, DELTA) if form.noise_multiplier else 0
    return (
        "none" if same else ("clipping and noise" if form.noise_multiplier else "clipping"),
        form.clip or None,
        form.noise_multiplier or None,
        epsilon if form.noise_multiplier and math.isfinite(epsilon) else None,
        statistics.fmean(outcome.up for outcome in found) / 1024,
        seconds,
        100 * statistics.fmean(outcome.dice for outcome in found),
        None if same else statistics.fmean(lost),
        None if same or len(lost) < 2 else statistics.stdev(lost) / math.sqrt(len(lost)),
    )


def _update_of(bundle: BundleDefinition) -> Weights:
    state = bundle.network(seed=0).state_dict()
    return {name: torch.randn_like(tensor) * 1e-3 for name, tensor in state.items() if tensor.is_floating_point()}


def _seconds(form: Filtered, update: Weights) -> float | None:
    if not form.clip:
        return None
    cpu = torch.device("cpu")
    return min(timed(lambda: clipped_and_noisy(form, update, 0), cpu)[1].wall for _ in range(REPEATS))


def _guard_seconds(update: Weights, work: Path) -> float:
    """Return the seconds in which the guard lets an update pass.

    Raises:
        DSFedMedError: it does not let it pass.
    """
    reply = to_shareable(reply_message(Envelope(TrainReply(1, 0.5, loss=0.1, steps=1), update, True)))
    guard, context = EgressGuard(), FLContext()
    workspace = SimpleNamespace(get_site_config_dir=lambda: str(work), get_run_dir=lambda _: str(work))
    engine: Any = SimpleNamespace(get_workspace=lambda: workspace)
    for key, value in (
        (ReservedKey.ENGINE, engine),
        (ReservedKey.IDENTITY_NAME, "site"),
        (FLContextKey.TASK_NAME, TRAIN.name),
    ):
        context.set_prop(key, value, private=True, sticky=False)
    cpu = torch.device("cpu")
    passes = [timed(lambda: guard.process(reply, context), cpu) for _ in range(REPEATS)]
    if any(out is not reply for out, _ in passes):
        raise DSFedMedError("egress guard", "refused the update that was to pass it", "This is an error of dsfedmed")
    return min(spent.wall for _, spent in passes)
