# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dsfedmed.reporting.advice.rule import Difference, choose
from dsfedmed.reporting.advice.words import Compared, made_up, not_said, other_sentence, sentence
from dsfedmed.reporting.units import MINUS
from tests.reporting.advice.test_rule import BETTER, UNCLEAR, WORSE

MIB = 2.0**20


def budget(rounds: int, steps: int | None) -> dict[str, Any]:
    return {"rounds": rounds, "local_steps": steps}


PAIR = Compared(
    "DSFedMed", "FedAvg", "equal_steps", {"method": budget(5, 100), "baseline": budget(9, 100)}, 1,
    (97 * MIB, 8.6 * MIB),
)  # fmt: skip


def said(seen: Difference | None, unseen: Difference | None, **changes: Any) -> str:
    pair = replace(PAIR, **changes)
    groups = {name: value for name, value in (("seen", seen), ("unseen", unseen)) if value is not None}
    return sentence(pair, groups, choose(groups, pair.cost))


def test_the_baseline_is_better_on_seen_sites() -> None:
    assert said(WORSE, UNCLEAR) == (
        "Use FedAvg: with as many training steps it was better than DSFedMed on the hospitals that took part (by 5.3 "
        "Dice points, 95 % interval 0.9 to 12.1) and not clearly different on the unseen one (95 % interval "
        f"{MINUS}1.9 to +1.0)."
    )


def test_the_method_is_better_everywhere() -> None:
    assert said(BETTER, BETTER, unseen_sites=2) == (
        "Use DSFedMed: with as many training steps it was better than FedAvg on the hospitals that took part (by 3.0 "
        "Dice points, 95 % interval 1.0 to 5.0) and on the unseen ones (by 3.0 Dice points, 95 % interval 1.0 to 5.0)."
    )


def test_without_an_unseen_site_only_seen_ones_are_named() -> None:
    assert "unseen" not in said(BETTER, None)
    assert said(None, BETTER).count("on the unseen hospital (") == 1


def test_they_contradict_each_other() -> None:
    assert said(WORSE, BETTER) == (
        "Neither is better everywhere: with as many training steps DSFedMed was better than FedAvg on the unseen one "
        "(by 3.0 Dice points, 95 % interval 1.0 to 5.0) and worse on the hospitals that took part (by 5.3 Dice points, "
        "95 % interval 0.9 to 12.1); choose by the hospitals it is for."
    )


def test_no_clear_difference_takes_the_cheaper_one() -> None:
    found = said(UNCLEAR, UNCLEAR)
    assert found.startswith("No clear difference between DSFedMed and FedAvg with as many training steps (on the hosp")
    assert f"on the unseen one +0.4 Dice points, 95 % interval {MINUS}1.0 to +1.9)" in found
    assert found.endswith("use FedAvg, which costs less (8.6 MiB a hospital instead of 97.0 MiB).")
    ours = said(UNCLEAR, None, cost=(MIB, 2 * MIB))
    assert ours.endswith("use DSFedMed, which costs less (1.0 MiB a hospital instead of 2.0 MiB).")
    alike = said(UNCLEAR, None, cost=(MIB, MIB))
    assert alike.endswith("use FedAvg, which costs no more than DSFedMed (1.0 MiB a hospital).")
    assert said(UNCLEAR, None, cost=None).endswith("what each costs was not recorded.")


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (budget(5, 100), budget(5, 100), "with as many rounds it was"),
        (budget(5, 2100), budget(5, 1000), "with as many rounds (2,100 training steps, FedAvg 1,000) it was"),
        (budget(5, None), budget(5, 1000), "with as many rounds it was"),
    ],
)
def test_unequal_training_is_said(ours: dict[str, Any], theirs: dict[str, Any], words: str) -> None:
    assert words in said(BETTER, None, by="equal_rounds", budget={"method": ours, "baseline": theirs})


def test_made_up_images_are_named() -> None:
    assert made_up([], ["a", "b"]) == ""
    assert made_up(["a"], ["a", "b"]).startswith("The images of a are made up: ")
    assert made_up(["b", "a"], ["a", "b"]).startswith("The images of all sites are made up: ")
    assert not_said("it is not complete") == "This run does not say which method to use: it is not complete."


@pytest.mark.parametrize(
    ("seen", "unseen", "last"),
    [
        (BETTER, BETTER, "With as many training steps DSFedMed was better than FedAvg."),
        (WORSE, UNCLEAR, "With as many training steps FedAvg was better than DSFedMed."),
        (
            WORSE,
            BETTER,
            "With as many training steps DSFedMed was better than FedAvg on some hospitals and worse on ot",
        ),
        (UNCLEAR, UNCLEAR, "With as many training steps there was no clear difference between DSFedMed and FedAvg."),
    ],
)
def test_another_model_is_the_best(seen: Difference, unseen: Difference, last: str) -> None:
    choice = choose({"seen": seen, "unseen": unseen}, PAIR.cost)
    unequal = replace(PAIR, by="equal_rounds", budget={"method": budget(5, 2100), "baseline": budget(5, 1000)})
    groups = {"seen": BETTER}
    assert ". With as many rounds (2,100 training steps, FedAvg 1,000) " in other_sentence(
        unequal, "FedProx", "FedAvg", groups, choice
    )
    found = other_sentence(PAIR, "FedProx (x)", "FedAvg", {"seen": BETTER, "unseen": UNCLEAR}, choice)
    assert found.startswith(
        "Use FedProx (x): it was better than FedAvg on the hospitals that took part (by 3.0 Dice points, 95 % interval "
        f"1.0 to 5.0) and not clearly different on the unseen one (95 % interval {MINUS}1.0 to +1.9). {last}"
    )
