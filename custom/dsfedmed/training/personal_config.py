# SPDX-License-Identifier: Apache-2.0
"""Options of pFedSAM (arXiv 2509.15638), without the networks: what travels is read by processes that train nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dsfedmed.options import MethodOptions, require, require_choice

DIRECTIONS = ("both", "to_personal", "to_global", "none")
SYNCS = ("none", "lora", "lora+decoder")
MEANS = ("product", "factors")


@dataclass(frozen=True)
class PersonalConfig(MethodOptions):
    """Options of pFedSAM; all values are [inferred], the paper's are not known.

    Attributes:
        learning_rate: Adam's, of both branches.
        personal_learning_rate: Adam's, of the personal branch where it is to have another; 0: the same.
        personal_average: decay of the personal branch's running mean over its rounds. The site is then scored with that
            mean, and training goes on from the branch itself. 0: none.
        warmup_rounds: rounds of the global branch alone; the personal one starts as a copy of it behind them.
        experts: M of each adapted layer.
        top_k: experts that are run for a map in training; evaluation has the mean over the gate's noise.
        direction: which branch learns from the other: "both", "to_personal" (teacher: global), "to_global", "none".
        kl_weight: lambda.
        temperature: T.
        balance_weight: factor of the experts' balance loss.
        personal_sync: what of the personal branch the server's weights overwrite in every round.
        mean: how the server averages a layer's low-rank update B A over the sites: as the "product" (ours, see
            `dsfedmed.algorithms.product_mean`), or its "factors" B and A each for itself, the paper's n_k / n mean.
    """

    learning_rate: float = 1e-4
    personal_learning_rate: float = 0.0
    personal_average: float = 0.0
    warmup_rounds: int = 0
    experts: int = 4
    top_k: int = 1
    direction: Literal["both", "to_personal", "to_global", "none"] = "both"
    kl_weight: float = 0.5
    temperature: float = 2.0
    balance_weight: float = 0.01
    personal_sync: Literal["none", "lora", "lora+decoder"] = "none"
    mean: Literal["product", "factors"] = "product"

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        require(self.learning_rate > 0, "method.learning_rate", "it is not above 0", "Give 0.0001")
        require(self.temperature > 0, "method.temperature", "it is not above 0", "Give 2")
        for name in ("kl_weight", "balance_weight", "personal_learning_rate", "warmup_rounds"):
            require(getattr(self, name) >= 0, f"method.{name}", "it is negative", "Give 0 or more")
        average = f"{self.personal_average} is not in [0, 1)"
        require(0 <= self.personal_average < 1, "method.personal_average", average, "Give 0.8, or 0 for none")
        fits = 1 <= self.top_k <= self.experts
        require(fits, "method.top_k", f"{self.top_k} of {self.experts} experts", "Give 1 up to the number of experts")
        require_choice("method.direction", self.direction, DIRECTIONS)
        require_choice("method.personal_sync", self.personal_sync, SYNCS)
        require_choice("method.mean", self.mean, MEANS)

    @property
    def personal_rate(self) -> float:
        """The rate of phase L."""
        return self.personal_learning_rate or self.learning_rate
