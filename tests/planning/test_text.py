# SPDX-License-Identifier: Apache-2.0
"""A plan as text and as JSON, with numbers that can be followed by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsfedmed.planning.asks import asks
from dsfedmed.planning.calibration import Calibration
from dsfedmed.planning.far_apart import Apartness
from dsfedmed.planning.plan import Plan
from dsfedmed.planning.proposal import Choice
from dsfedmed.planning.text import columns, plan_text, range_text
from dsfedmed.planning.times import StageTime
from dsfedmed.planning.traffic import traffic
from tests.planning.samples import NUMBERS, scene, site

TIMES = (
    StageTime("rounds", {"a": 100.0, "b": 40.0}, 10.0, comparison=False),
    StageTime("compare fedavg", {"a": 60.0}, 0.0, comparison=True),
)


def plan(**changes: Any) -> Plan:
    found = scene()
    moved = tuple(traffic(found, NUMBERS))
    times = changes.get("times")
    values: dict[str, Any] = {
        "method": "dsfedmed",
        "scene": found,
        "sites": (site("a"), site("b b")),
        "apart": Apartness("alike", 1.25, ("a", "b b"), {"a": -1, "b b": -1}),
        "helps": "Unlikely, use FedAvg.",
        "choices": (Choice("image_size", 64, "small enough"),),
        "options": ("--sites", "my sites", "--set", "image_size=64"),
        "laid": True,
        "numbers": NUMBERS,
        "traffic": moved,
        "asked": tuple(asks(found, NUMBERS, moved, times)),
        "disk": 3 * 2**30,
        "workers": 2,
        "device": "cpu",
    }
    return Plan(**{**values, **changes})


def test_columns_are_aligned() -> None:
    assert columns([("a", "bb"), ("ccc", "d")]) == ["  a    bb", "  ccc  d"]


def test_an_estimate_says_what_it_may_be_wrong_by() -> None:
    assert range_text(100) == "1 min 40 s (1 min 10 s to 2 min 30 s)"


def test_without_a_calibration_there_are_no_times() -> None:
    text = plan_text(plan())
    assert "Time: not estimated without a calibration" in text
    assert "dsfedmed run dsfedmed --sites 'my sites' --set image_size=64 --out runs/first" in text
    assert "distance 1.2 (a and b b), alike" in text
    assert "256 x 128 (128 to 256), 0.5 x 0.25 mm" in text
    assert "brighter in 10 %" in text
    assert "lesion 90 %, 4 %, 51 px" in text  # a fifth of 256
    assert "disk for the whole run here: about 3.00 GiB" in text
    document = plan().to_dict()
    assert (document["seconds"], document["calibration"]) == (None, None)
    assert document["bytes_a_site"]["beside"] == {"FedAvg": 24_000, "FedSAM": 120_000}
    json.dumps(document, allow_nan=False)


def test_times_here_and_at_the_hospitals() -> None:
    found = plan(times=TIMES, calibration=Calibration({"read": 0.1}, 12.0, 1.2, 2**30))
    assert found.seconds(comparison=False) == 110  # 100 beside 40, then the server
    assert found.seconds(comparison=True) == 60
    assert found.seconds(comparison=False, at_hospitals=True) == 110
    assert plan(times=TIMES, workers=1).seconds(comparison=False) == 150
    text = plan_text(found)
    assert "dsfedmed: 1 min 50 s (1 min 17 s to 2 min 45 s); the comparison beside it: 1 min 00 s" in text
    assert "1.00 GiB at most for one process" in text
    assert "  a         1 min 40 s          2 min 40 s " in text  # 100 s for the method, 160 s with the comparison
    document = found.to_dict()
    assert document["seconds"]["method"] == 110
    assert document["seconds"]["stages"][0]["here"] == 110
    json.dumps(document, allow_nan=False)


def test_a_busy_machine_is_said_to_be_one() -> None:
    found = plan(times=TIMES, calibration=Calibration({}, 12.0, 2.0, 2**30))
    text = " ".join(plan_text(found).split())
    assert "2.0 times as long as it would have alone" in text
    assert "the method takes about 3 min 40 s" in text  # twice 110 s
    calm = plan(times=TIMES, calibration=Calibration({}, 12.0, 1.2, 2**30))
    assert "busy" not in plan_text(calm)


def test_the_memory_is_that_of_the_largest_network_in_training() -> None:
    assert plan().trained_memory == 16 * 2000


@pytest.mark.parametrize(("laid", "said"), [(True, "preset  with these"), (False, "preset  as it was given")])
def test_what_was_reckoned_for_is_said(laid: bool, said: str) -> None:
    assert f"reckoned for dsfedmed, {said}: 64 px, light_unet_segmentation, 4 rounds." in plan_text(plan(laid=laid))


def test_a_preset_that_was_named_is_pasted_as_it_is_reckoned() -> None:
    assert "To paste, with the preset as it was given:" in plan_text(plan(laid=False))
    assert "Add --teacher FILE: without it" in plan_text(plan())
    assert "--teacher" not in plan_text(plan(method="fedbn"))


def test_a_held_out_site_unlike_all_others_is_said() -> None:
    text = " ".join(plan_text(plan(unlike={"site_d": "distance 6.6 to the nearest"})).split())
    assert "site_d, which is held out, is unlike every hospital that trains (distance 6.6 to the nearest)" in text
    assert "is unlike" not in plan_text(plan())
