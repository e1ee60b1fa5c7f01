# SPDX-License-Identifier: Apache-2.0
"""Methods of others for sites without labels: rounds of two toy sites by hand, and whole runs in this process."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.algorithms.regularity import structure_loss
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.methods.baselines.unlabelled import FixMatch, Lssl, MeanTeacher
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.wire.tasks import UNLABELLED as UNLABELLED_TASK
from dsfedmed.store.files import read_json, read_tensors
from tests.federated.methods.toy_sites import RATE, sigmoid, toy_rounds
from tests.runs.commands import BUNDLES
from tests.runs.local import run_in_process
from tests.runs.recording import assert_no_pixels
from tests.runs.smoke import remove_labels, smoke
from tests.runs.stored import released

UNLABELLED = ("site_b", "site_c")
OTHERS = ("meanteacher", "lssl")
"""Methods that go the same way; their own rounds are above, and their release is in ``test_without_nvflare.py``."""


def mean(site_a: float, site_b: float) -> float:
    """FedAvg of 4 and 12 images."""
    return (4 * site_a + 12 * site_b) / 16


@pytest.mark.parametrize(("start", "label"), [(math.log(49), 1.0), (-math.log(49), 0.0), (1.0, None)])
def test_fixmatch_by_hand(start: float, label: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At ln 49 every pixel is 0.98 sure of foreground, at -ln 49 of background; at 1 none is sure at 0.95.

    A step's gradient is p - f of the public masks and 2 (p - label) of the own images at lambda_u = 2. site_a takes one
    step, site_b three.
    """

    def after(steps: int) -> float:
        z = start
        for _ in range(steps):
            p = sigmoid(z)
            z -= RATE * (p - found.foreground + (0.0 if label is None else 2 * (p - label)))
        return z

    found = toy_rounds(FixMatch, tmp_path, monkeypatch, {"logit": start}, unlabelled_weight=2.0)
    assert found.number == pytest.approx(mean(after(1), after(3)), abs=1e-5)


def test_mean_teacher_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds; a step's gradient is p - f of the public masks and w 2 (q - p') q (1 - q) of the own images.

    q = p is the student's and p' the teacher's, which begins at the first global number, follows by 1/2, 1/3 ... and is
    kept over the rounds, while the student begins each at the global number. w is 3 exp(-5) in the first and then 3.
    """

    def after(weight: float, steps: int, z: float, teacher: float, followed: int) -> tuple[float, float, int]:
        for _ in range(steps):
            p, q = sigmoid(teacher), sigmoid(z)
            z -= RATE * (q - found.foreground + weight * 2 * (q - p) * q * (1 - q))
            followed += 1
            keep = min(1 - 1 / (followed + 1), 0.6)
            teacher = keep * teacher + (1 - keep) * z
        return z, teacher, followed

    options = {"unlabelled_weight": 3.0, "decay": 0.6, "ramp_rounds": 1}
    found = toy_rounds(MeanTeacher, tmp_path, monkeypatch, {"logit": 2.0}, rounds=2, **options)
    first = {steps: after(3 * math.exp(-5), steps, 2.0, 2.0, 0) for steps in (1, 3)}
    middle = mean(first[1][0], first[3][0])
    last = {steps: after(3.0, steps, middle, *first[steps][1:]) for steps in (1, 3)}
    assert found.number == pytest.approx(mean(last[1][0], last[3][0]), abs=1e-5)
    kept = read_tensors(found.sites["site_b"].folder / "mean_teacher" / "meanteacher-0002.safetensors")
    assert float(kept["teacher/logit"]) == pytest.approx(last[3][1], abs=1e-5)
    assert int(kept["steps"]) == 6


def test_lssl_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One round: a step on the public images at both sites, then one and three on own images; each site is a half.

    At z = 1 all is said to be foreground, so that the share f of the public pixels is right: the confidence's gradient
    is 4 (c - f), and c stays above 0.75. Own images move z alone, by the structure loss of all foreground in two views.
    """
    start = {"logit": 1.0, "confidence": 6.0}
    found = toy_rounds(Lssl, tmp_path, monkeypatch, start, unlabelled_weight=0.5)
    confidence = 6 - RATE * 4 * (sigmoid(6) - found.foreground)
    assert sigmoid(confidence) > 0.75
    assert found.numbers["confidence"] == pytest.approx(confidence, abs=1e-4)

    def moved(z: float, masks: Tensor, weight: float) -> float:
        number = torch.tensor(z, requires_grad=True)
        (weight * structure_loss(number.expand(masks.shape), masks)).backward()
        assert number.grad is not None
        return z - RATE * float(number.grad)

    sites = []
    for steps in (1, 3):
        z = moved(1.0, found.masks, 1.0)
        for _ in range(steps):
            z = moved(z, torch.ones_like(found.masks), 2 * 0.5)
        sites.append(z)
    assert found.number == pytest.approx(sum(sites) / 2, abs=1e-4)
    assert found.number != pytest.approx(mean(*sites), abs=1e-3), "the mean by images is another one"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with labels, two without, and one that is held out."""
    folder = tmp_path_factory.mktemp("unlabelled") / "sites"
    make_demo_sites(folder, 0, training=4, validation=2, test=1)
    remove_labels(folder, UNLABELLED)
    return folder


@pytest.mark.parametrize("method", ["fixmatch", *(pytest.param(m, marks=pytest.mark.slow) for m in OTHERS)])
def test_it_runs_without_a_label_at_the_sites_and_beside_the_labels_alone(
    method: str, small: Path, tmp_path: Path
) -> None:
    settings = smoke(method, method={"label_site": "site_a"}, schedule={"average_rounds": 0})
    done = run_in_process(method, settings, small, tmp_path, public=small / "site_a")
    results, record = (read_json(done.run / f"{name}.json") for name in ("results", "record"))
    assert results["missing"] == []
    assert set(results["methods"]) == {method, "labels_only"}
    assert all(set(found["per_site"]) == {"site_a", *UNLABELLED, "site_d"} for found in results["methods"].values())
    assert [set(entry["validation"]) for entry in record["curves"][method]] == [{"public"}] * 2
    assert record["selected"][method]["round"] == 2, "the last one"
    per_site = record["budgets"][method]["local_steps"] / len(UNLABELLED)
    assert record["budgets"]["labels_only"]["local_steps"] >= per_site
    task = UNLABELLED_TASK.name
    assert not done.tensors("site_a", task), "the label site trains nothing"
    assert not done.tensors("site_d", task)
    for site in UNLABELLED:
        assert set(done.tensors(site, task)[0]) <= set(released(done.run)), "and no network but the student leaves"
        assert len(done.tensors(site, "dsf_public")) == 1
        assert_no_pixels(done, site)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("fixmatch", {"threshold": 0.5}, "threshold"),
        ("fixmatch", {"decay": 0.9}, "decay"),
        ("fixmatch", {"public_epochs": 0}, "public_epochs"),
        ("meanteacher", {"decay": 1.0}, "decay"),
        ("meanteacher", {"ramp_rounds": 0}, "ramp_rounds"),
        ("meanteacher", {"unlabelled_weight": -1.0}, "unlabelled_weight"),
        ("lssl", {"flip": 0.5}, "flip"),
        ("lssl", {"gate": 1.0}, "gate"),
    ],
)
def test_an_option_that_cannot_be_is_refused(method: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=rf"method\.{words}"):
        workflow_of(method, smoke(method, method=options))


def test_rules_of_the_steps_that_the_loop_does_not_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="semi-supervised loop"):
        workflow_of("fixmatch", smoke("fixmatch", light={"clip_norm": 1.0}))


def test_a_network_without_confidences_is_refused_before_the_rounds(small: Path, tmp_path: Path) -> None:
    light = {"bundle": "light_unet_segmentation"}
    settings = smoke("lssl", method={"label_site": "site_a"}, light=light)
    verdict = simulate_locally(
        "lssl", settings, SimulatedSites(small, tmp_path / "run", BUNDLES, public=small / "site_a")
    )
    assert verdict.startswith("incomplete: light.bundle: light_unet_segmentation has no confidences")
    assert not (tmp_path / "run" / "public").exists()
