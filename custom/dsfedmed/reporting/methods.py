# SPDX-License-Identifier: Apache-2.0
"""How reports name, order and colour the models of a run (`dsfedmed.methods` has the entries)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsfedmed.methods import METHODS, MODELS
from dsfedmed.reporting.beyond_paper import beyond_the_paper

BY_KEY = {model.key: model for model in MODELS}
ONLY_OF = {part: method.key for method in METHODS.values() for part in method.record_parts}
"""Parts of the record that one method alone has."""


def baselines(method: str) -> dict[str, str]:
    """Return the method's baselines by budget."""
    return dict(METHODS[method].baselines) if method in METHODS else {}


def beyond(method: str, settings: Mapping[str, Any]) -> list[str]:
    """Return in words what a run with these settings does beyond its method's paper."""
    return beyond_the_paper(METHODS[method].beyond, settings) if method in METHODS else []


def versus(method: str, baseline: str, minus: str = "-") -> str:
    """Return "METHOD - BASELINE" by their short names."""
    return f"{display_name(method)} {minus} {short_name(baseline)}"


def short_name(key: str) -> str:
    """Return the name without what tells two of a kind apart: "FedAvg" for "FedAvg, equal steps"."""
    return display_name(key).partition(",")[0]


def display_name(key: str) -> str:
    """Return the name shown for a model; an unknown key is shown as it is."""
    return BY_KEY[key].name if key in BY_KEY else key


def comparison_name(results: Mapping[str, Any], key: str) -> str:
    """Return how two methods were trained alike, as a heading; of a run without rounds, how they were not."""
    found = results["comparisons"][key]
    if key == "equal_rounds" and found and found["budget"]["method"]["rounds"] == 0:
        return f"No round, against {found['budget']['baseline']['rounds']} of {short_name(found['baseline'])}"
    return {"equal_rounds": "With as many rounds", "equal_steps": "With as many training steps"}[key]


def not_compared(results: Mapping[str, Any], baseline: str) -> str:
    """Return why there is no comparison with a baseline: it, or the method itself, was not trained or not tested."""
    starts = [key for key in (results["method"], baseline) if key in results["untrained"]]
    return untrained(starts[0]) if starts else "not tested"


def untrained(key: str) -> str:
    """Return what there is to say of a model that was not trained: no step, or no round better than the start."""
    return f"the {short_name(key)} that was scored is its untrained start"


def colour(key: str) -> str:
    """Return the model's colour; grey for an unknown key."""
    return BY_KEY[key].colour if key in BY_KEY else "#555555"
