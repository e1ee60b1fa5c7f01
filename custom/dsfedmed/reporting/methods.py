# SPDX-License-Identifier: Apache-2.0
"""The methods a run compares: their order, names, one-line meaning and colour everywhere, and what a run must have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """How one compared method is shown, and where a run's record says what it cost.

    Attributes:
        key: its name in records and results.
        name: its name in tables.
        meaning: one line.
        colour: everywhere.
        required: the workflows whose complete run has it.
        stages: the stages that are its cost; empty for a workflow's own method, whose stages are counted as such.
        network: what is run in the end, "light" or "teacher".
    """

    key: str
    name: str
    meaning: str
    colour: str
    required: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    network: str = "light"


_DSFEDMED, _SAMFED, _PFEDSAM = ("dsfedmed",), ("samfed",), ("pfedsam",)
_EQUAL = ("compare fedavg", "compare equal steps")
METHODS = (
    Method("local", "Local only", "light network trained at each site alone, no federation", "#7a828e", _DSFEDMED,
           ("compare local",)),
    Method("labels_only", "Labels only", "light network trained on the public labels alone", "#868e96", _SAMFED,
           ("compare labels only",)),
    Method("fedavg", "FedAvg", "light network, FedAvg, as many rounds as the method", "#1c6fb8", _DSFEDMED,
           ("compare fedavg",)),
    Method("fedavg_equal_steps", "FedAvg, equal steps", "light network, FedAvg, as many gradient steps", "#69aee6",
           _DSFEDMED, _EQUAL),
    Method("fedprox", "FedProx", "light network, FedAvg with a proximal term", "#0b7285", (), ("compare fedprox",)),
    Method("dsfedmed", "DSFedMed", "light network, FedAvg with learnability-guided mutual distillation", "#d9480f",
           _DSFEDMED),
    Method("samfed", "SAM-Fed", "light network, unlabelled sites under SAM's and its own labels", "#e67700", _SAMFED),
    Method("centralised", "Centralised", "light network on all images in one place", "#343a40", (),
           ("compare centralised",)),
    Method("teacher_before", "Teacher before", "promptless SAM, tuned on the synthetic set only", "#b197d8", _DSFEDMED,
           ("adapt teacher",), "teacher"),
    Method("teacher", "Teacher after", "promptless SAM after mutual distillation", "#6f42b5", _DSFEDMED,
           ("adapt teacher", "rounds"), "teacher"),
    Method("public_teacher", "Teacher, public labels", "promptless SAM tuned on the public labels", "#9775fa",
           _SAMFED, ("tune teacher",), "teacher"),
    Method("fedsam", "FedSAM", "the teacher itself federated", "#2b8a57", (), ("compare fedsam",), "teacher"),
    Method("fedmsa", "FedMSA", "adapters in the teacher and its decoder federated", "#74b816", (), ("compare fedmsa",),
           "teacher"),
    Method("pfedsam", "pFedSAM", "each site's personal branch with experts; unseen sites: the global one", "#c2255c",
           _PFEDSAM, (), "teacher"),
    Method("pfedsam_global", "pFedSAM, global branch", "low-rank updates and decoder federated", "#f783ac", _PFEDSAM,
           ("rounds",), "teacher"),
)  # fmt: skip
BY_KEY = {method.key: method for method in METHODS}
BASELINES = {
    "dsfedmed": {"equal_rounds": "fedavg", "equal_steps": "fedavg_equal_steps"},
    "samfed": {"equal_steps": "labels_only"},
    "pfedsam": {"equal_rounds": "fedsam"},
}
"""What each workflow is held against, and under which budget."""
ONLY_OF = dict.fromkeys(("learnability", "audit", "synthetic"), "dsfedmed")
"""Parts of the record that one workflow alone has."""


def baselines(workflow: str) -> dict[str, str]:
    """Return the workflow's baselines by budget."""
    return BASELINES.get(workflow, {})


def versus(method: str, baseline: str, minus: str = "-") -> str:
    """Return "METHOD - BASELINE" by their short names."""
    return f"{display_name(method)} {minus} {display_name(baseline).partition(',')[0]}"


def display_name(key: str) -> str:
    """Return the name shown for a method; an unknown key is shown as it is."""
    return BY_KEY[key].name if key in BY_KEY else key


def colour(key: str) -> str:
    """Return the method's colour; grey for an unknown key."""
    return BY_KEY[key].colour if key in BY_KEY else "#555555"
