# SPDX-License-Identifier: Apache-2.0
"""Options of SAM-Fed (arXiv 2511.14302); what the paper's known part does not say is [inferred]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dsfedmed.algorithms.agreement import RULES, WEIGHTS, AgreementConfig
from dsfedmed.options import MethodOptions, read_options, require, require_choice, require_plain_name


@dataclass(frozen=True)
class PublicLabelOptions(MethodOptions):
    """Options of every method whose labels are at the server only.

    Attributes:
        label_site: in simulation, the site whose labels play the public set; it trains nothing. Elsewhere empty: the
            server's own ``public`` folder is meant.
        public_epochs: passes over the public set for the global model's start.
        rate_factor: factor on the bundle's learning rate in the rounds, whose network learned the labels at the start.
        unlabelled_weight: lambda_u, of the loss on the own images; 0 leaves them out.
        select: without a mean of the last rounds (``schedule.average_rounds``, the small presets' choice), which
            round is the result: the "last", or the best on the "public" set's validation part. That part cannot see
            what is learned from the other sites, and tends to choose a round before any of it.
    """

    label_site: str = ""
    public_epochs: int = 40
    rate_factor: float = 1.0
    unlabelled_weight: float = 1.0
    select: Literal["last", "public"] = "last"

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        require_choice("method.select", self.select, ("last", "public"))
        require(self.public_epochs > 0, "method.public_epochs", "it is below 1", "Give 1 or more")
        require(self.rate_factor > 0, "method.rate_factor", f"{self.rate_factor} is not above 0", "Give 1 or less")
        require(self.unlabelled_weight >= 0, "method.unlabelled_weight", "it is negative", "Give 0 or more")


@dataclass(frozen=True)
class SamFedConfig(PublicLabelOptions):
    """Options of SAM-Fed, the preset's section ``method``.

    Attributes:
        rate_factor: factor on the bundle's learning rate in the rounds, whose network learned the labels at the start;
            homogeneous sites only, as networks of the sites' own start at random.
        rule: which supervision a pixel gets, see `dsfedmed.algorithms.agreement`.
        threshold: tau_0 of that rule.
        agreement_weight: weight of SAM's word on a pixel in dispute, "confidence" or "scheduled".
        soft_weight: beta, of the divergence from SAM where the two disagree.
        temperature: T of that divergence.
        unlabelled_weight: lambda_u behind its ramp-up; 0 leaves SAM out.
        ramp_rounds: length of the ramp-up.
        teacher_gate: ask SAM only in rounds in which it is at least as good as the global network, by Dice on the
            public validation part (our extension, off in the paper's preset, after the gate of HSSF's fusion): a
            student that has outgrown its teacher is pulled back by it, with any rule. That part is of the label site,
            so that a teacher that is better at the other sites alone is not seen.
        shared_weight: lambda_g, of the distillation from the global to the local network; homogeneous sites only.
        public_order: "first" trains a round's passes over the public set before those over the own images (paper);
            "beside" has a public batch beside every own one, in one step (ours; what the small presets' figures were
            measured with).
        condensation_epochs: passes of the server over the public set in a round (RC); heterogeneous sites only.
        fusion_epochs: passes of a site over the public set in a round (RF), where it comes first; heterogeneous sites
            only, the others make as many as over their own images.
        teacher_flips: average SAM over four flips when it labels a site's images (ours, off in the paper's preset).
        site_bundles: bundle of each site's own network by site name; empty for one network everywhere (FedAvg).
    """

    rule: Literal["agreement", "agreement_only", "teacher_only"] = "agreement"
    threshold: float = 0.95
    agreement_weight: Literal["confidence", "scheduled"] = "confidence"
    soft_weight: float = 1.0
    temperature: float = 2.0
    ramp_rounds: int = 20
    teacher_gate: bool = True
    shared_weight: float = 1.0
    public_order: Literal["beside", "first"] = "beside"
    condensation_epochs: int = 4
    fusion_epochs: int = 4
    teacher_flips: bool = True
    site_bundles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        super().__post_init__()
        require_choice("method.rule", self.rule, RULES)
        require_choice("method.public_order", self.public_order, ("beside", "first"))
        require_choice("method.agreement_weight", self.agreement_weight, WEIGHTS)
        require(0 < self.threshold <= 1, "method.threshold", f"{self.threshold} is not in (0, 1]", "Give 0.95")
        require(self.temperature > 0, "method.temperature", "it is not above 0", "Give 2")
        for name in ("ramp_rounds", "condensation_epochs", "fusion_epochs"):
            require(getattr(self, name) > 0, f"method.{name}", "it is below 1", "Give 1 or more")
        for name in ("soft_weight", "shared_weight"):
            require(getattr(self, name) >= 0, f"method.{name}", "it is negative", "Give 0 or more")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "method") -> SamFedConfig:
        """Read a preset's section; an unknown key raises ``ConfigError`` with the nearest valid one."""
        plain = {key: value for key, value in values.items() if key != "site_bundles"}
        bundles = values.get("site_bundles") or {}
        named = isinstance(bundles, Mapping) and all(isinstance(name, str) for pair in bundles.items() for name in pair)
        require(named, f"{where}.site_bundles", "is not `site: bundle` lines", "Write one line for each site")
        for site, bundle in bundles.items():
            require_plain_name(f"{where}.site_bundles.{site}", bundle)
        return replace(read_options(cls, plain, where), site_bundles=dict(bundles))

    def public_passes(self, epochs: int, own_network: bool) -> int:
        """Return how many passes over the public set come before ``epochs`` over the own images; 0 for none."""
        if self.public_order == "beside":
            return 0
        return self.fusion_epochs if own_network else epochs

    @property
    def agreement(self) -> AgreementConfig:
        """The options of the agreement rule alone."""
        return AgreementConfig(self.rule, self.threshold, self.agreement_weight, self.soft_weight, self.temperature)
