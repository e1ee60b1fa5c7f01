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
    """Up: three updates. Down: first weights in half precision, then six differences (a mean, two of distillation)."""
    record = read_json(paper / "record.json")
    parameters = record["parameters"]["light"]
    rows = [row for row in record["bytes"]["entries"] if row["stage"] == "rounds"]
    for site in ("site_a", "site_b", "site_c"):
        up, down = (
            sum(row["bytes"] for row in rows if row["site"] == site and row["direction"] == direction)
            for direction in ("up", "down")
        )
        assert 0.5 * 3 * parameters < up < 1.1 * 3 * parameters + 100_000
        assert (2 + 0.5 * 6) * parameters < down < 1.1 * (2 + 6) * parameters + 150_000
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
    run = run_in_process("dsfedmed", settings, folder, tmp_path / "nested").run
    record = read_json(run / "record.json")
    assert record["label_names"] == ["cell", "nucleus"]
    assert {site: facts["channels"] for site, facts in record["facts"].items()} == dict.fromkeys(record["facts"], 3)
    for cases in record["cases"]["dsfedmed"].values():
        assert all(len(case["dice"]) == 2 for case in cases)
    assert (run / "sites" / "site_c" / "soft_labels.safetensors").exists()
