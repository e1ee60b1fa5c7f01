# SPDX-License-Identifier: Apache-2.0
"""results.json's ``advice``: which method to use from this run, and why, in a sentence or two.

The method and its baseline decide between them; another model that the run compares is named where it was clearly
better than that (`others`).

A run without a round of the light network (one shot) says nothing: FedAvg with as many steps is no opponent there. Nor
does one of the preset that only tries the machinery, nor one in which neither of the two has learned much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsfedmed.reporting.advice.others import best_other
from dsfedmed.reporting.advice.rule import Choice, Difference, choose
from dsfedmed.reporting.advice.words import Compared, little, not_said, other_sentence, sentence
from dsfedmed.reporting.methods import BY_KEY, baselines, display_name, short_name, untrained
from dsfedmed.reporting.record import Record

FAIREST = ("equal_steps", "equal_rounds")
"""Comparisons, the one that decides first: a gain that is only more training is no gain."""
LEAST = 30.0
"""Mean Dice (%) below which a network has not learned much: which of two is better there says nothing of either."""
MACHINERY = "smoke"
"""The preset of which only that it runs to its end is of interest."""


def advice_block(results: Mapping[str, Any], record: Record) -> dict[str, Any]:
    """Return the advice of results that have everything else: ``use``, ``outcome``, ``by`` and ``sentence``."""
    found = results["comparisons"]
    by = next((key for key in FAIREST if found[key] and _differences(found[key])), None)
    if results["verdict"] != "complete":
        return _silent("it is not complete")
    if results["preset"] == MACHINERY:
        return _silent(
            f"preset {MACHINERY} shows that everything works, and trains too little for its figures to mean anything"
        )
    if by is None:
        return _silent(_why_not(results))
    comparison = found[by]
    if comparison["budget"]["method"]["rounds"] == 0:
        return _silent(_few_steps(comparison))
    poor = _poor(results, comparison)
    differences = {group: found for group, found in _differences(comparison).items() if group not in poor}
    if not differences:
        return _silent(little(poor, len(results["unseen"])))
    cost = _cost(results, comparison)
    choice = choose(differences, cost)
    compared = Compared(
        display_name(comparison["method"]), short_name(comparison["baseline"]), by, comparison["budget"],
        len(results["unseen"]), cost,
    )  # fmt: skip
    use = _key(comparison, choice)
    pair = [comparison["method"], comparison["baseline"]]
    other = best_other(record, pair if use is None else [use])
    if other is None:
        text = sentence(compared, differences, choice)
    else:
        than = f"{compared.method} and {compared.baseline}" if use is None else short_name(use)
        use, gains = other
        text = other_sentence(compared, f"{display_name(use)} ({BY_KEY[use].meaning})", than, gains, choice)
    if poor:
        said = little(poor, len(results["unseen"]))
        text = f"{text} {said[0].upper()}{said[1:]}."
    return {"use": use, "outcome": choice.outcome, "by": by, "sentence": text}


def _poor(results: Mapping[str, Any], comparison: Mapping[str, Any]) -> dict[str, float]:
    """Return the better one's mean Dice (%) in the groups of sites where even that is below `LEAST`."""
    pair = [results["methods"][comparison[side]] for side in ("method", "baseline")]
    best = {group: max(found[f"{group}_dice"] for found in pair) for group in _differences(comparison)}
    return {group: dice for group, dice in best.items() if dice < LEAST}


def _silent(why: str) -> dict[str, Any]:
    return {"use": None, "outcome": "not said", "by": None, "sentence": not_said(why)}


def _why_not(results: Mapping[str, Any]) -> str:
    """Return why no two methods can be compared."""
    method, wanted = results["method"], baselines(results["method"])
    for key in (method, *wanted.values()):
        if key in results["untrained"]:
            return untrained(key)
    names = " or ".join(dict.fromkeys(short_name(key) for key in wanted.values())) or "another method"
    if not results["methods"].get(method) or not any(results["methods"].get(key) for key in wanted.values()):
        return f"{display_name(method)} and {names} were not both tested in it"
    return f"{display_name(method)} and {names} were not scored on the same images"


def _few_steps(comparison: Mapping[str, Any]) -> str:
    """Return why a network without a round has no opponent here: in as many steps FedAvg has hardly begun."""
    baseline, rounds = short_name(comparison["baseline"]), comparison["budget"]["baseline"]["rounds"]
    name = display_name(comparison["method"])
    return (
        f"{name} had no round, and {baseline} gets no more than {rounds or 'no'} of them for as many training steps; "
        f"compare {name} with {baseline} after as many rounds as you would run"
    )


def _differences(comparison: Mapping[str, Any]) -> dict[str, Difference]:
    groups = {group: comparison[group]["dice"] for group in ("seen", "unseen") if comparison[group]}
    return {group: Difference(value["mean"], value["low"], value["high"]) for group, value in groups.items()}


def _cost(results: Mapping[str, Any], comparison: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the bytes of a training site of both methods; None where one is not recorded."""
    moved = results["bytes"]["to_train"]
    sides = [moved.get(comparison[side]) for side in ("method", "baseline")]
    return None if sides[0] is None or sides[1] is None else (float(sides[0]), float(sides[1]))


def _key(comparison: Mapping[str, Any], choice: Choice) -> str | None:
    return None if choice.use is None else str(comparison[choice.use])
