# SPDX-License-Identifier: Apache-2.0
"""DSFedMed in one process: the paper's order with the released rule, and colour sites with nested classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.exchange.tensors import digest
from dsfedmed.store.files import read_json, read_tensors
from tests.federated.nested_sites import make_nested_sites
from tests.runs.local import run_in_process
from tests.runs.smoke import ALONE, smoke
from tests.runs.stored import stage_tensors


@pytest.fixture(scope="module")
def paper(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in the paper's order, with eight-bit differences both ways."""
    settings = smoke(
        schedule={"order": "paper", "distil_at": "server", "epochs": 2},
        distillation={"rule": "batch_quantile"},
        light={"precision": "int8"},
        compare=ALONE,
    )
    return run_in_process("dsfedmed", settings, sites, tmp_path_factory.mktemp("paper")).run


def test_the_paper_s_order_distils_at_the_server_after_the_last_round(paper: Path) -> None:
    record = read_json(paper / "record.json")
    rounds = [entry["round"] for entry in record["curves"]["dsfedmed"]]
    assert rounds == [1, 2, 3, 4, 5], "three rounds of FedAvg, then two epochs of distillation"
    assert all(entry["validation"] for entry in record["curves"]["dsfedmed"])
    steps = [entry["local_steps"] for entry in record["curves"]["dsfedmed"]]
    per_epoch = read_json(paper / "store" / "distillation.json")["info"]["steps"]
    assert per_epoch > 0
    assert [steps[3] - steps[2], steps[4] - steps[3]] == [per_epoch, per_epoch], "the server's steps count"
    assert [entry["round"] for entry in record["learnability"]] == [4, 5]
    assert not (paper / "sites" / "site_a" / "soft_labels.safetensors").exists()
    state = stage_tensors(paper, "distillation")
    before = stage_tensors(paper, "adapt teacher")
    moved = [n for n, t in before.items() if not torch.equal(t, state[f"teacher/{n}"])]
    assert moved, "the teacher learns from the light network"
    assert not [name for name in moved if name.startswith("image_encoder.")], "its encoder is frozen"


def test_eight_bit_differences_are_what_goes_over_the_wire(paper: Path) -> None:
    """Up: three updates. Down: first weights in half precision, then six differences (a mean, two of distillation).

    The second round's trial sends four whole networks besides.
    """
    record = read_json(paper / "record.json")
    parameters = record["parameters"]["light"]
    rows = [row for row in record["bytes"]["entries"] if row["stage"] == "rounds"]
    for site in ("site_a", "site_b", "site_c"):
        up, down = (
            sum(row["bytes"] for row in rows if row["site"] == site and row["direction"] == direction)
            for direction in ("up", "down")
        )
        assert 0.5 * 3 * parameters < up < 1.1 * 3 * parameters + 100_000
        assert (2 + 0.5 * 6 + 8) * parameters < down < 1.1 * (2 + 6 + 8) * parameters + 150_000
    assert record["config"]["light"]["precision"] == "int8"


def test_every_site_ends_with_the_server_s_reference_to_the_last_bit(paper: Path) -> None:
    held = read_json(paper / "store" / "training-dsfedmed.json")["info"]["reference"]["sha256"]
    state = stage_tensors(paper, "training-dsfedmed")
    server = {name.removeprefix("reference/"): t for name, t in state.items() if name.startswith("reference/")}
    assert digest(server) == held
    for site in ("site_a", "site_b", "site_c"):
        files = list((paper / "sites" / site / "references").iterdir())
        assert [path.name for path in files] == [f"dsfedmed.{held}.safetensors"]
        theirs = read_tensors(files[0])
        assert all(torch.equal(theirs[name].float(), tensor) for name, tensor in server.items())
    assert not (paper / "sites" / "site_d" / "references").exists()


def test_colour_sites_with_nested_classes_in_four_formats(tmp_path: Path) -> None:
    """PNG, TIFF, NPY and JPEG, each of another size, without a word of configuration; distilled at both places."""
    folder = make_nested_sites(tmp_path / "sites")
    settings = smoke(schedule={"distil_at": "both"}, distillation={"rule": "softmax"}, compare=ALONE)
    run = run_in_process("dsfedmed", settings, folder, tmp_path / "nested", pictures=True).run
    record = read_json(run / "record.json")
    assert record["label_names"] == ["cell", "nucleus"]
    assert {site: facts["channels"] for site, facts in record["facts"].items()} == dict.fromkeys(record["facts"], 3)
    for cases in record["cases"]["dsfedmed"].values():
        assert all(len(case["dice"]) == 2 for case in cases)
    assert (run / "sites" / "site_c" / "soft_labels.safetensors").exists()


@pytest.fixture(scope="module")
def refitted(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rounds with joint steps, each mean repaired at the server."""
    settings = smoke(
        rounds=2,
        refit={"steps": 3, "fade": "annealed"},
        schedule={"distil_at": "server", "warmup_rounds": 100, "joint_weight": 0.5, "average_rounds": 0},
        light={"rate_schedule": "cosine", "ramp_steps": 2, "clip_norm": 1.0},
        compare={**ALONE, "fedavg": True, "equal_steps": True},
    )
    return run_in_process("dsfedmed", settings, sites, tmp_path_factory.mktemp("refitted")).run


def test_the_server_s_steps_after_the_mean_count_and_the_sites_take_theirs(refitted: Path) -> None:
    """Three steps annealed over two rounds are 2 (1.5 to the even number) and 0; one step a site and round, head 2."""
    curve = read_json(refitted / "record.json")["curves"]["dsfedmed"]
    at_sites = curve[0]["local_steps"] - 2
    assert curve[1]["local_steps"] == curve[0]["local_steps"] + 2 + at_sites
    assert read_json(refitted / "store" / "training-dsfedmed.json")["info"]["repaired"] == 2


def test_fedavg_at_equal_steps_with_a_falling_rate_is_a_training_of_its_own(refitted: Path) -> None:
    record = read_json(refitted / "record.json")
    assert set(record["curves"]) == {"dsfedmed", "fedavg", "fedavg_equal_steps"}
    assert record["budgets"]["fedavg_equal_steps"]["local_steps"] >= record["budgets"]["dsfedmed"]["local_steps"]


def test_one_shot_needs_no_round_and_no_site_keeps_the_set(sites: Path, tmp_path: Path) -> None:
    settings = smoke(
        rounds=0,
        synthetic={"broadcast": False},
        schedule={"distil_at": "server", "warmup_rounds": 100, "head_start_ramp_steps": 1, "average_rounds": 0},
        compare={**ALONE, "fedavg": True, "local": True},
    )
    run = run_in_process("dsfedmed", settings, sites, tmp_path).run
    record = read_json(run / "record.json")
    assert record["selected"]["dsfedmed"]["round"] == 0
    assert record["budgets"]["dsfedmed"] == {"rounds": 0, "local_steps": 2}
    assert record["budgets"]["fedavg"]["rounds"] == 1, "as many rounds as make equal steps"
    up = [row for row in record["bytes"]["entries"] if row["stage"] == "rounds" and row["direction"] == "up"]
    assert sum(row["bytes"] for row in up) < 10_000, "no update goes up, only a validation"
    assert (run / "release" / "models").is_dir()
    for site in ("site_a", "site_b", "site_c"):
        assert not list((run / "sites" / site).glob("**/synthetic-*.safetensors")), "the set was for the audit alone"
