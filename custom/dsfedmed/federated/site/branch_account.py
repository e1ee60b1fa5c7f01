# SPDX-License-Identifier: Apache-2.0
"""The site's own account of its private branches, over all runs: what each cost, and the secret of its noise.

A fit is entered before it begins. One that is asked again, or was interrupted, finds its entry: it has the same secret
and so the same noise, sample and steps, gives the same branch to the last bit, and is the same release, which costs
nothing more. That holds as long as everything is the same that could change a bit: request, data, the site's rule,
versions, threads and the kind of processor. All of it is in the entry's key; where any of it differs the fit is another
release, with a secret of its own, and is counted. On a GPU bits may differ from fit to fit, so each one counts.

The same noise on gradients that differ would be worse than a second release: their difference has no noise at all.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from dsfedmed.algorithms.private.secret_draws import new_secret
from dsfedmed.errors import ConfigError
from dsfedmed.exchange.sampled_accounting import SampledRelease, epsilon_of_all
from dsfedmed.store.files import read_json, write_json
from dsfedmed.store.run_lock import run_lock

PATIENCE_S = 60.0
OWNER_ONLY = 0o600


@dataclass(frozen=True)
class BranchRelease:
    """One private branch that was fitted, or is about to be.

    Attributes:
        key: hash of all that the branch depends on but its secret.
        noise_multiplier: of `SampledRelease`.
        rate: of `SampledRelease`.
        steps: of `SampledRelease`.
        secret: of its draws, from the operating system. Whoever has it can take the noise away: it stays here.
    """

    key: str
    noise_multiplier: float
    rate: float
    steps: int
    secret: str

    @property
    def cost(self) -> SampledRelease:
        """What the accountant is told."""
        return SampledRelease(self.noise_multiplier, self.rate, self.steps)


@dataclass(frozen=True)
class Entered:
    """A release with what the site has spent, this one included.

    Attributes:
        release: the release.
        total_epsilon: of all branches.
        branches: how many those are.
    """

    release: BranchRelease
    total_epsilon: float
    branches: int


def enter(file: Path, key: str, cost: SampledRelease, delta: float, most: float, repeats: bool) -> Entered:
    """Return the release of that key, as it was entered before, or enter a new one with a new secret.

    Args:
        file: the account; several runs may ask for it at a time.
        key: of the branch.
        cost: what it costs.
        delta: for which the total is stated.
        most: epsilon that all branches may cost together; 0 for no bound.
        repeats: whether the fit repeats to the last bit; if not it is a new release each time.

    Raises:
        ConfigError: the budget is used up; nothing is entered then.
        StoreError: the account cannot be read or written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with run_lock(file.parent, f"{file.stem}.lock", PATIENCE_S):
        known = [BranchRelease(**entry) for entry in read_json(file)] if file.exists() else []
        same = [release for release in known if release.key == key]
        if not same:
            own = key if repeats else f"{key}/{secrets.token_hex(8)}"
            same = [BranchRelease(own, cost.noise_multiplier, cost.rate, cost.steps, new_secret())]
            known += same
        total = epsilon_of_all([release.cost for release in known], delta)
        if most and total > most:
            reason = f"its budget for private branches is used up (epsilon {total:.3g} with this one, of {most:g})"
            raise ConfigError("branch privacy", reason, "It is the site's own rule (max_epsilon in its dsfedmed.yaml)")
        write_json(file, [vars(release) for release in known])
        file.chmod(OWNER_ONLY)
    return Entered(same[0], total, len(known))
