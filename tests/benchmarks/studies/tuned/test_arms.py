# SPDX-License-Identifier: Apache-2.0
"""The file of arms: what a point sets, what is refused, and that the committed one is valid for the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.cli.job import planned_settings
from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.studies.tuned.arms import MOST_POINTS, read_arms

JOB = Path(__file__).parents[4] / "jobs" / "dsfedmed"
FILE = """
set: {refit: {steps: 1}, teacher_variant: tiny}
generator: {rounds: 1}
arms:
  - {key: a, name: A, kind: baseline, grid: [{refit: {steps: 2}}, {light: {batch_size: 4}}]}
  - {key: b, name: B, rounds: [0]}
"""


def test_a_point_is_laid_over_what_its_arm_and_all_arms_have(tmp_path: Path) -> None:
    file = tmp_path / "arms.yaml"
    file.write_text(FILE)
    found = read_arms(file)
    first, second = found.arms
    assert first.words(0, 5) == ["--set", "refit.steps=2", "--set", "teacher_variant=tiny", "--set", "rounds=5"]
    assert "light.batch_size=4" in first.words(1, 5)
    assert "refit.steps=1" in first.words(1, 5)
    assert (first.shown(0), second.shown(0)) == ("steps 2", "")
    assert (first.kind, second.kind, second.rounds) == ("baseline", "method", (0,))
    assert found.generator_words() == [
        "--set", "refit.steps=1", "--set", "teacher_variant=tiny", "--set", "rounds=1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("arms: 3", "has no list `arms`"),
        ("arms: [{name: A}]", "has no list `arms` of entries with a `key`"),
        ("arms: [{key: a, name: A, colour: red}]", "colour: unknown key"),
        ("arms: [{key: ../a, name: A}]", "is not a plain name"),
        ("arms: [{key: a, name: A}, {key: a, name: B}]", "more than one arm 'a'"),
        (f"arms: [{{key: a, name: A, grid: [{', '.join(['{}'] * (MOST_POINTS + 1))}]}}]", "has 9 points"),
        ("arms: [{key: a, name: A, grid: []}]", "has 0 points"),
        ("{", "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "arms.yaml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_arms(tmp_path / "arms.yaml")


def test_every_point_of_the_committed_arms_is_valid_and_only_the_method_uses_the_set() -> None:
    for arm in read_arms(JOB / "few_rounds.yaml").arms:
        for point in range(len(arm.grid)):
            for rounds in arm.rounds or (5,):
                settings = planned_settings("dsfedmed", JOB, arm.words(point, rounds))
                uses = settings.refit.steps or settings.schedule.joint_weight or settings.schedule.head_start_steps
                assert bool(uses) == (arm.kind == "method"), f"{arm.key}, point {point}"
                assert settings.light.rate_schedule == "cosine"
