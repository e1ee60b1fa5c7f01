# SPDX-License-Identifier: Apache-2.0
"""The rule's choice as one plain sentence.

Gains and their intervals are given from the side of what is better, so that they are positive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsfedmed.reporting.advice.rule import Choice, Difference
from dsfedmed.reporting.units import byte_text, signed


@dataclass(frozen=True)
class Compared:
    """Two methods as the sentence names them.

    Attributes:
        method: name of the run's own.
        baseline: name of what it is held against.
        by: "equal_steps" or "equal_rounds".
        budget: of both, as in results.json.
        unseen_sites: number of unseen sites.
        cost: bytes of a training site, the method's and the baseline's; None where not recorded.
    """

    method: str
    baseline: str
    by: str
    budget: Mapping[str, Any]
    unseen_sites: int
    cost: tuple[float, float] | None = None


def not_said(why: str) -> str:
    """Return the sentence of a run that does not say which method to use."""
    return f"This run does not say which method to use: {why}."


def little(poor: Mapping[str, float], unseen_sites: int) -> str:
    """Return in which groups of sites ("seen", "unseen") both have learned too little to be compared.

    Args:
        poor: the better one's mean Dice (%) by group.
        unseen_sites: number of unseen sites.
    """
    places = " and ".join(
        f"on the {_group(group, unseen_sites)} (Dice {dice:.1f} at most)" for group, dice in poor.items()
    )
    return f"neither has learned much {places}"


def sentence(pair: Compared, differences: Mapping[str, Difference], choice: Choice) -> str:
    """Return the advice.

    Args:
        pair: the two methods.
        differences: method minus baseline, by group of sites ("seen", "unseen").
        choice: of `rule.choose`, from these.
    """
    if choice.outcome == "mixed":
        return _mixed(pair, differences)
    if choice.outcome == "unclear":
        return _unclear(pair, differences, choice)
    better, other = (pair.method, pair.baseline) if choice.use == "method" else (pair.baseline, pair.method)
    turn = 1 if choice.use == "method" else -1
    return f"Use {better}: {_budget(pair)} {_better(pair, other, differences, turn)}"


def other_sentence(pair: Compared, best: str, than: str, differences: Mapping[str, Difference], choice: Choice) -> str:
    """Return the advice where another model of the run was clearly better than what the pair comes to.

    Args:
        pair: the method and its baseline.
        best: the other model, as it is named.
        than: what it was better than.
        differences: best minus that, by group of sites.
        choice: of `rule.choose`, between the two of the pair.
    """
    between = {
        "better": f"{pair.method} was better than {pair.baseline}",
        "worse": f"{pair.baseline} was better than {pair.method}",
        "mixed": f"{pair.method} was better than {pair.baseline} on some hospitals and worse on others",
    }.get(choice.outcome, f"there was no clear difference between {pair.method} and {pair.baseline}")
    budget = _budget(pair)
    return f"Use {best}: {_better(pair, than, differences, 1)} {budget[0].upper()}{budget[1:]} {between}."


def _better(pair: Compared, other: str, differences: Mapping[str, Difference], turn: int) -> str:
    """Say on which hospitals something was better than ``other``, and on which not clearly different."""
    clear = [f"{_where(pair, group, differences)} ({_gain(d, turn)})" for group, d in differences.items() if d.sign]
    rest = [
        f"{_where(pair, group, differences)} ({_interval(d, turn)})" for group, d in differences.items() if not d.sign
    ]
    text = f"it was better than {other} {' and '.join(clear)}"
    return f"{text} and not clearly different {' and '.join(rest)}." if rest else f"{text}."


def made_up(sites: Sequence[str], all_sites: Sequence[str]) -> str:
    """Return the sentence that says whose images are made up; empty where none are.

    Args:
        sites: those whose images are made up.
        all_sites: of the run.
    """
    if not sites:
        return ""
    whose = "all sites" if set(all_sites) <= set(sites) else ", ".join(sites)
    return f"The images of {whose} are made up: the figures show that the method runs, not how well it does on scans."


RANDOM_TEACHER = (
    "The teacher began with random weights, since none were given (--teacher): what it taught says nothing of SAM."
)


def remarks(results: Mapping[str, Any]) -> list[str]:
    """Return what a reader of the figures must know besides: made-up images, a teacher that knew nothing."""
    invented = made_up(results["made_up"], [*results["sites"], *results["unseen"]])
    return [text for text in (invented, RANDOM_TEACHER if results["random_teacher"] else "") if text]


def _mixed(pair: Compared, differences: Mapping[str, Difference]) -> str:
    """Say both, and what the choice depends on."""
    won = [f"{_where(pair, g, differences)} ({_gain(d, 1)})" for g, d in differences.items() if d.sign > 0]
    lost = [f"{_where(pair, g, differences)} ({_gain(d, -1)})" for g, d in differences.items() if d.sign < 0]
    return (
        f"Neither is better everywhere: {_budget(pair)} {pair.method} was better than {pair.baseline} "
        f"{' and '.join(won)} and worse {' and '.join(lost)}; choose by the hospitals it is for."
    )


def _unclear(pair: Compared, differences: Mapping[str, Difference], choice: Choice) -> str:
    """Say how small the differences are, and which method costs less."""
    found = "; ".join(
        f"{_where(pair, group, differences)} {signed(d.mean)} Dice points, {_interval(d, 1)}"
        for group, d in differences.items()
    )
    text = f"No clear difference between {pair.method} and {pair.baseline} {_budget(pair)} ({found})"
    if choice.use is None or pair.cost is None:
        return f"{text}, and what each costs was not recorded."
    name, other = (pair.method, pair.baseline) if choice.use == "method" else (pair.baseline, pair.method)
    ours, theirs = (byte_text(count) for count in sorted(pair.cost))
    if ours == theirs:
        return f"{text}: use {name}, which costs no more than {other} ({ours} a hospital)."
    return f"{text}: use {name}, which costs less ({ours} a hospital instead of {theirs})."


def _budget(pair: Compared) -> str:
    """Return how the training of the two was made comparable."""
    if pair.by == "equal_steps":
        return "with as many training steps"
    ours, theirs = pair.budget["method"], pair.budget["baseline"]
    steps = ours["local_steps"], theirs["local_steps"]
    if None in steps or abs(steps[0] - steps[1]) <= 0.02 * max(steps):
        return "with as many rounds"
    return f"with as many rounds ({steps[0]:,} training steps, {pair.baseline} {steps[1]:,})"


def _where(pair: Compared, group: str, differences: Mapping[str, Difference]) -> str:
    """Return a group of sites in words."""
    if group == "unseen" and "seen" in differences:
        return f"on the unseen {'one' if pair.unseen_sites == 1 else 'ones'}"
    return f"on the {_group(group, pair.unseen_sites)}"


def _group(group: str, unseen_sites: int) -> str:
    if group == "seen":
        return "hospitals that took part"
    return f"unseen {'hospital' if unseen_sites == 1 else 'hospitals'}"


def _gain(difference: Difference, turn: int) -> str:
    return f"by {turn * difference.mean:.1f} Dice points, {_interval(difference, turn)}"


def _interval(difference: Difference, turn: int) -> str:
    low, high = sorted((turn * difference.low, turn * difference.high))
    if low > 0:
        return f"95 % interval {low:.1f} to {high:.1f}"
    return f"95 % interval {signed(low)} to {signed(high)}"
