# SPDX-License-Identifier: Apache-2.0
"""The work of every stage by hand; every stage of a method that can be planned has one."""

from __future__ import annotations

from collections import Counter

import pytest

from dsfedmed.cli.job.plan import METHODS
from dsfedmed.federated.methods import workflow_of
from dsfedmed.planning.work import UNITS, Work, planned, work_of
from dsfedmed.settings import Settings
from tests.planning.samples import FEDBN, SITES, scene


def test_the_generator_s_stages_by_hand() -> None:
    found = scene()
    assert work_of(found, "fit base").sites == {name: Counter(base_step=10) for name in "abc"}
    assert work_of(found, "fit branches").sites["b"] == Counter(branch_step=7)
    assert work_of(found, "synthesise") == Work(server=Counter(sample=30))
    assert work_of(found, "audit").sites == {
        "a": Counter(audit=30 + 5 + 20), "b": Counter(audit=30 + 3 + 8), "c": Counter(audit=30 + 2 + 9)
    }  # fmt: skip
    assert work_of(found, "adapt teacher").server == Counter(teacher_step=3 * 2)  # 30 pairs in batches of 16
    parts = work_of(found, "score parts")
    assert (parts.server, parts.sites["a"]) == (Counter(plain_step=6 * 13), Counter(infer=4 * 5))
    assert work_of(scene(sites=SITES[:2]), "score parts").server == Counter(plain_step=2 * 13)


def test_the_rounds_by_hand() -> None:
    work = work_of(scene(refit={"steps": 20, "fade": "annealed"}), "rounds")
    # four rounds of 6 steps; five validations of 5 images, and three in the trial after round 2
    assert work.sites["a"] == Counter(light_step=24, infer=(5 + 3) * 5)
    # the repairs; two distillations over 30 pairs, whose embeddings are made once
    assert work.server == Counter(light_step=30, distil=60, embed=30)


def test_joint_and_alternating_steps_cost_as_much_again() -> None:
    assert work_of(scene(schedule={"joint_weight": 0.5}), "rounds").sites["a"]["light_step"] == 48
    work = work_of(scene(schedule={"distil_at": "sites"}), "rounds")
    assert work.sites["a"]["light_step"] == 6 * (4 + 3)
    assert work.server["embed"] == 30 + 2 * 4 * 15  # soft labels of 15 pairs in four views, twice


def test_the_comparison_by_hand() -> None:
    found = scene()
    assert work_of(found, "compare fedavg").sites["b"] == Counter(light_step=8, infer=(5 + 3) * 3)
    # 63 own steps are 6 rounds of 12, two more than had been done; a trial after round 2
    assert work_of(found, "compare equal steps").sites["b"] == Counter(light_step=4, infer=(3 + 3) * 3)
    assert work_of(found, "compare local").sites["b"] == Counter(light_step=8, infer=8 * 3)
    assert work_of(found, "compare centralised").server == Counter(light_step=8 * 6, infer=8 * 10)
    assert work_of(found, "compare fedsam").sites["a"] == Counter(teacher_step=12, embed=5 * 5)  # 24 of 8, in 16s
    scored = work_of(found, "evaluate comparison").sites
    # FedAvg twice and the teacher twice; its own network, or at the held-out site those of all three
    assert scored == {name: Counter(score=count) for name, count in {"a": 20, "b": 10, "c": 5, "d": 42}.items()}


def test_every_site_reads_its_images_and_scores_its_test() -> None:
    assert work_of(scene(), "check sites").sites["d"] == Counter(read=43)
    assert work_of(scene(), "evaluate").sites["d"] == Counter(score=6)
    assert work_of(scene(FEDBN), "evaluate").sites["d"] == Counter(score=12)
    assert work_of(scene(), "release") == Work()


def test_the_head_start_asks_the_teacher_where_its_soft_labels_count() -> None:
    assert work_of(scene(), "head start").server == Counter(light_step=11, embed=0)
    assert work_of(scene(schedule={"site_kl_weight": 1.0}), "head start").server["embed"] == 4 * 30


@pytest.mark.parametrize("method", METHODS)
def test_every_stage_has_its_work_and_every_work_its_unit(method: str) -> None:
    more = {"fedprox": True, "centralised": True, "fedsam": True, "fedmsa": True}
    more |= dict.fromkeys(("cross_site", "fedlora", "local_lora"), True)
    settings = Settings.from_dict({"compare": more, "schedule": {"head_start_steps": 1}})
    stages = workflow_of(method, settings).stages(settings)
    assert set(stages) <= planned(method)
    for stage in stages:
        work = work_of(scene(stages, method=method), stage)
        assert {unit for units in (work.server, *work.sites.values()) for unit in units} <= set(UNITS)


def test_pfedsam_trains_two_branches_behind_the_warm_up() -> None:
    """Four rounds, one of warm-up; two passes of 3, 1 and 2 steps of 8 images are half as many of the teacher's 16."""
    made = scene(FEDBN, method="pfedsam", options={"warmup_rounds": 1})
    assert work_of(made, "rounds").sites["a"] == Counter(
        teacher_step=(4 + 3) * 6 // 2, embed=2 * 3 * 2 * 20 + (4 + 1 + 3 + 3) * 5
    )
    assert work_of(made, "evaluate").sites["a"] == Counter(score=8)


def test_samfed_learns_from_public_labels() -> None:
    made = scene(("rounds",), method="samfed", public=(40, 10), options={"public_epochs": 6, "teacher_flips": True})
    assert work_of(made, "public set").server == Counter(read=50)
    assert work_of(made, "public start").server == Counter(light_step=6 * 5, infer=60)
    assert work_of(made, "tune teacher").server == Counter(teacher_step=3 * 3, embed=10)
    assert work_of(made, "broadcast teacher").sites["a"] == Counter(embed=80)
    rounds = work_of(made, "rounds")
    assert rounds.sites["b"] == Counter(light_step=2 * 4 * 2, infer=2 * 4 * 2 * 8 + 4 * 40)
    assert rounds.server == Counter(infer=(4 + 1 + 3) * 10)
    more = 4  # passes of 5 steps: 48 steps at three sites are 16 at each
    assert work_of(made, "compare labels only").server == Counter(light_step=(6 + more) * 5, infer=(6 + more) * 10)
    assert work_of(made, "evaluate").sites["d"] == Counter(score=6)
    assert work_of(made, "evaluate comparison").sites["d"] == Counter(score=12)
