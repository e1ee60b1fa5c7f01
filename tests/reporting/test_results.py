# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from dsfedmed.errors import StoreError
from dsfedmed.reporting.record import load_record
from dsfedmed.reporting.results import build_results, check_results, load_results, load_schema, write_results
from dsfedmed.reporting.terminal import summary_text


def small(**changes: Any) -> dict[str, Any]:
    """Return a record of two source sites and one unseen, whose figures a person can compute."""

    def cases(*dice: float) -> list[dict[str, Any]]:
        return [{"dice": [d], "iou": [d / 2], "hd95": [10 * (1 - d)]} for d in dice]

    record = {
        "name": "small",
        "preset": "toy",
        "seed": 3,
        "verdict": "complete",
        "sites": ["a", "b"],
        "unseen": ["d"],
        "label_names": ["lesion"],
        "cases": {
            "fedavg": {"a": cases(0.5, 0.7), "b": cases(0.9), "d": cases(0.4, 0.6)},
            "dsfedmed": {"a": cases(0.6, 0.8), "b": cases(1.0), "d": cases(0.6, 0.8)},
        },
        "stages": [{"name": "rounds", "seconds": 2.0}, {"name": "rounds", "seconds": 3.5}],
        "bytes": {
            "entries": [
                {"site": "a", "direction": "up", "stage": "rounds", "purpose": "method", "bytes": 100, "messages": 1},
                {"site": "a", "direction": "down", "stage": "rounds", "purpose": "method", "bytes": 40, "messages": 2},
                {"site": "b", "direction": "up", "stage": "set", "purpose": "method", "bytes": 60, "messages": 1},
                {"site": "b", "direction": "up", "stage": "rounds", "purpose": "comparison", "bytes": 9, "messages": 1},
            ],
            "fedsam": {"parameters": 25, "bytes_per_round_per_site_per_direction": 100, "rounds": 2},
        },
    }
    return {**record, **changes}


def test_by_hand(make_run: Callable[..., Path]) -> None:
    results = build_results(load_record(make_run(small())))
    fedavg = results["methods"]["fedavg"]
    assert fedavg["seen_dice"] == pytest.approx(70)  # mean over the three images
    assert fedavg["seen"]["dice"]["site_mean"] == pytest.approx(75)  # mean of 60 and 90
    assert fedavg["unseen_dice"] == pytest.approx(50)
    assert fedavg["unseen_iou"] == pytest.approx(25)
    assert fedavg["unseen_hd95"] == pytest.approx(5)  # pixels, not percent
    assert fedavg["per_site"]["a"]["dice"]["per_class"] == [60.0]
    assert fedavg["per_site"]["a"]["dice"]["n"] == 2


def test_comparisons_are_paired(make_run: Callable[..., Path]) -> None:
    comparisons = build_results(load_record(make_run(small())))["comparisons"]
    assert comparisons["equal_steps"] is None
    equal = comparisons["equal_rounds"]
    assert equal["seen"]["dice"]["mean"] == pytest.approx(10)
    assert equal["unseen"]["dice"] == {"mean": 20.0, "low": 20.0, "high": 20.0, "n": 2, "cases": 2}
    assert equal["per_site"]["b"]["hd95"]["mean"] == pytest.approx(-1)


def test_other_images_are_not_compared(make_run: Callable[..., Path]) -> None:
    data = small()
    data["cases"]["fedavg"]["d"].pop()
    equal = build_results(load_record(make_run(data)))["comparisons"]["equal_rounds"]
    assert equal["unseen"] is None
    assert equal["seen"] is not None


def test_a_group_with_a_missing_site_has_no_mean(make_run: Callable[..., Path]) -> None:
    data = small()
    del data["cases"]["fedavg"]["b"]
    results = build_results(load_record(make_run(data)))
    assert results["methods"]["fedavg"]["seen_dice"] is None
    assert results["methods"]["fedavg"]["per_site"].keys() == {"a", "d"}
    assert "FedAvg: no test figures of b" in results["missing"]


def test_ledger_by_hand(make_run: Callable[..., Path]) -> None:
    results = build_results(load_record(make_run(small())))
    block = results["bytes"]
    assert (block["up"], block["down"], block["messages"]) == (160, 40, 4)
    assert block["per_site"] == {"a": {"up": 100, "down": 40}, "b": {"up": 60, "down": 0}}
    assert block["per_stage"] == {"rounds": {"up": 100, "down": 40}, "set": {"up": 60, "down": 0}}
    assert block["comparison"] == {"up": 9, "down": 0}
    assert block["fedsam_equivalent"] == 2 * 100 * 2 * 2  # both ways, two sites, two rounds
    assert block["reduction"] == pytest.approx(1 - 200 / 800)
    assert results["stages"] == {"rounds": 5.5}


@pytest.mark.parametrize(("form", "size"), [("fp32", 800), ("fp16", 400), ("int8", 200)])
def test_fedsam_is_held_against_in_the_runs_own_number_format(
    make_run: Callable[..., Path], form: str, size: int
) -> None:
    results = build_results(load_record(make_run(small(config={"light": {"precision": form}}))))
    block = results["bytes"]
    assert (block["number_format"], block["fedsam_equivalent"], block["fedsam_same_format"]) == (form, 800, size)
    assert block["reduction_same_format"] == pytest.approx(1 - 200 / size)
    said = {"fp32": "75.0 % less", "fp16": "50.0 % less", "int8": "0.0 % less"}[form]
    assert f"that is {said} than FedSAM would have ({size} B in {form} too)" in summary_text(results)


def test_a_record_from_elsewhere_commands_no_console(make_run: Callable[..., Path]) -> None:
    results = build_results(load_record(make_run(small(preset="\x1b[2Jcpu", verdict="incomplete: \x07\nx"))))
    assert all(line.isprintable() for line in summary_text(results).split("\n"))
    assert "?[2Jcpu" in summary_text(results)


def test_what_a_hospital_moves_to_train_by_hand(make_run: Callable[..., Path]) -> None:
    """Equal steps go on from equal rounds, so that both stages count, unless they were a training of their own."""

    def entry(stage: str, count: int, purpose: str = "comparison") -> dict[str, Any]:
        one = {"site": "a", "direction": "up", "stage": stage, "purpose": purpose, "bytes": count, "messages": 1}
        return one

    entries = [entry("compare fedavg", 20), entry("compare equal steps", 30), entry("rounds", 100, "method"),
               entry("evaluate", 7, "method"), entry("check sites", 5, "method")]  # fmt: skip
    data = small(bytes={"entries": entries})
    data["cases"] |= {name: data["cases"]["fedavg"] for name in ("fedavg_equal_steps", "teacher")}
    moved = build_results(load_record(make_run(data)))["bytes"]["to_train"]
    assert moved == {"fedavg": 10, "fedavg_equal_steps": 25, "dsfedmed": 50}  # of each of two sites
    own = {**data, "curves": {"fedavg_equal_steps": [{"round": 1}]}}
    assert build_results(load_record(make_run(own)))["bytes"]["to_train"]["fedavg_equal_steps"] == 15


@pytest.mark.parametrize("change", [{"direction": "sideways"}, {"bytes": -1}, {"bytes": None}])
def test_a_ledger_entry_that_says_nothing_is_refused(make_run: Callable[..., Path], change: dict[str, Any]) -> None:
    data = small()
    data["bytes"]["entries"][2].update(change)
    with pytest.raises(StoreError, match=r"bytes\.entries\[2\]"):
        build_results(load_record(make_run(data)))


def test_a_whole_record_fits_the_schema_and_is_written_the_same_twice(make_run: Callable[..., Path]) -> None:
    run = make_run()
    first = write_results(load_record(run))
    text = (run / "results.json").read_bytes()
    write_results(load_record(run))
    assert (run / "results.json").read_bytes() == text
    assert load_results(run) == first
    assert not list(run.glob("*.part"))


def test_intervals_hold_their_means(make_run: Callable[..., Path], make_record: Callable[..., dict[str, Any]]) -> None:
    results = build_results(load_record(make_run(make_record(seed=2, classes=2))))
    for method in results["methods"].values():
        for site in method["per_site"].values():
            for value in site.values():
                assert value["low"] <= value["mean"] <= value["high"]
                assert value["mean"] == pytest.approx(np.mean(value["per_class"]), abs=1e-3)
                assert value["cases"] == 12  # 24 images, two of each patient


@pytest.mark.parametrize("keep", [(), ("name", "seed"), ("cases",), ("bytes", "stages", "curves", "events")])
def test_an_unfinished_record_gives_valid_results(
    make_run: Callable[..., Path], record: dict[str, Any], keep: tuple[str, ...]
) -> None:
    data = {key: record[key] for key in ("sites", "unseen", *keep)}
    results = write_results(load_record(make_run(data)))
    assert results["verdict"].startswith("incomplete")
    assert results["missing"]


def test_a_non_finite_figure_becomes_null(make_run: Callable[..., Path], record: dict[str, Any]) -> None:
    record["selected"]["fedavg"]["validation"] = float("nan")
    run = make_run(record)
    write_results(load_record(run))
    assert json.loads((run / "results.json").read_text())["selected"]["fedavg"]["validation"] is None


def test_results_that_do_not_fit_are_refused_by_name(make_run: Callable[..., Path]) -> None:
    run = make_run()
    results = write_results(load_record(run))
    for path, value in ((("seed",), "three"), (("methods", "fedavg", "seen_dice"), "70"), (("surprise",), 1)):
        broken = copy.deepcopy(results)
        place = broken
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        with pytest.raises(StoreError, match="does not fit the schema"):
            check_results(broken, run)


def test_the_schema_is_valid_and_describes_every_property() -> None:
    schema = load_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert [name for name, value in _properties(schema) if not _described(schema, value)] == []


def test_no_results_say_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="dsfedmed report"):
        load_results(tmp_path)


def _properties(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        properties = node.get("properties")
        if isinstance(properties, dict) and node.get("type") == "object":
            yield from properties.items()
        for value in node.values():
            yield from _properties(value)


def _described(schema: dict[str, Any], value: dict[str, Any]) -> bool:
    if value.get("description"):
        return True
    name = value.get("$ref", "").removeprefix("#/$defs/")
    return bool(schema["$defs"].get(name, {}).get("description"))
