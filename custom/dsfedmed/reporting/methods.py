# SPDX-License-Identifier: Apache-2.0
"""The methods a run compares: their order, names, one-line meaning and colour everywhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """How one compared method is shown."""

    key: str
    name: str
    meaning: str
    colour: str
    required: bool = True


METHODS = (
    Method("local", "Local only", "light network trained at each site alone, no federation", "#7a828e"),
    Method("fedavg", "FedAvg", "light network, FedAvg, as many rounds as DSFedMed", "#1c6fb8"),
    Method("fedavg_equal_steps", "FedAvg, equal steps", "light network, FedAvg, as many gradient steps", "#69aee6"),
    Method("fedprox", "FedProx", "light network, FedAvg with a proximal term", "#0b7285", required=False),
    Method("dsfedmed", "DSFedMed", "light network, FedAvg with learnability-guided mutual distillation", "#d9480f"),
    Method("centralised", "Centralised", "light network on all images in one place", "#343a40", required=False),
    Method("teacher_before", "Teacher before", "promptless SAM, tuned on the synthetic set only", "#b197d8"),
    Method("teacher", "Teacher after", "promptless SAM after mutual distillation", "#6f42b5"),
    Method("fedsam", "FedSAM", "the teacher itself federated", "#2b8a57", required=False),
    Method("fedmsa", "FedMSA", "adapters in the teacher and its decoder federated", "#74b816", required=False),
)
BY_KEY = {method.key: method for method in METHODS}
OURS = "dsfedmed"


def display_name(key: str) -> str:
    """Return the name shown for a method; an unknown key is shown as it is."""
    return BY_KEY[key].name if key in BY_KEY else key


def colour(key: str) -> str:
    """Return the method's colour; grey for an unknown key."""
    return BY_KEY[key].colour if key in BY_KEY else "#555555"
