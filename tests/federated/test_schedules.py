# SPDX-License-Identifier: Apache-2.0
"""The other ways to run: the paper's order with the released rule, and colour sites with nested classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.exchange.tensors import digest
from dsfedmed.store.files import read_json, read_tensors
from tests.federated.conftest import Run, run_job, stage_tensors
from tests.federated.nested_sites import make_nested_sites

pytestmark = pytest.mark.federation
ALONE = [word for name in ("local", "fedavg", "equal_steps", "teacher") for word in ("--set", f"compare.{name}=false")]


def _set(**settings: object) -> list[str]:
    return [word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


@pytest.fixture(scope="module")
def paper(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in the paper's order, with eight-bit differences both ways."""
    changes = _set(
        schedule__order="paper",
        schedule__distil_at="server",
        schedule__epochs=2,
        distillation__rule="batch_quantile",
        light__precision="int8",
    )
    run = run_job(sites, tmp_path_factory.mktemp("paper") / "run", *changes, *ALONE)
    assert run.code == 0, run.output[-3000:]
    return run


def test_the_paper_s_order_distils_at_the_server_after_the_last_round(paper: Run) -> None:
    run = paper
    record = read_json(run.folder / "record.json")
    rounds = [entry["round"] for entry in record["curves"]["dsfedmed"]]
    assert rounds == [1, 2, 3, 4, 5], "three rounds of FedAvg, then two epochs of distillation"
    assert all(entry["validation"] for entry in record["curves"]["dsfedmed"])
    steps = [entry["local_steps"] for entry in record["curves"]["dsfedmed"]]
    per_epoch = read_json(run.folder / "store" / "distillation.json")["info"]["steps"]
    assert per_epoch > 0
    assert [steps[3] - steps[2], steps[4] - steps[3]] == [per_epoch, per_epoch], "the server's steps count"
    assert [entry["round"] for entry in record["learnability"]] == [4, 5]
    assert not (run.folder / "sites" / "site_a" / "soft_labels.safetensors").exists()
    state = stage_tensors(run.folder, "distillation")
    before = stage_tensors(run.folder, "adapt teacher")
    moved = [n for n, t in before.items() if not torch.equal(t, state[f"teacher/{n}"])]
    assert moved, "the teacher learns from the light network"
    assert not [name for name in moved if name.startswith("image_encoder.")], "its encoder is frozen"


def test_eight_bit_differences_are_what_goes_over_the_wire(paper: Run) -> None:
    """Up: three updates. Down: first weights in half precision, then six differences (a mean, two of distillation)."""
    record = read_json(paper.folder / "record.json")
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


def test_every_site_ends_with_the_server_s_reference_to_the_last_bit(paper: Run) -> None:
    held = read_json(paper.folder / "store" / "arm-dsfedmed.json")["info"]["reference"]["sha256"]
    state = stage_tensors(paper.folder, "arm-dsfedmed")
    server = {name.removeprefix("reference/"): t for name, t in state.items() if name.startswith("reference/")}
    assert digest(server) == held
    for site in ("site_a", "site_b", "site_c"):
        files = list((paper.folder / "sites" / site / "references").iterdir())
        assert [path.name for path in files] == [f"dsfedmed.{held}.safetensors"]
        theirs = read_tensors(files[0])
        assert all(torch.equal(theirs[name].float(), tensor) for name, tensor in server.items())
    assert not (paper.folder / "sites" / "site_d" / "references").exists()


def test_colour_sites_with_nested_classes_in_four_formats(tmp_path: Path) -> None:
    """PNG, TIFF, NPY and JPEG, each of another size, without a word of configuration; distilled at both places."""
    folder = make_nested_sites(tmp_path / "sites")
    changes = _set(schedule__distil_at="both", distillation__rule="softmax")
    run = run_job(folder, tmp_path / "nested", *changes, *ALONE)
    assert run.code == 0, run.output[-3000:]
    record = read_json(run.folder / "record.json")
    assert record["label_names"] == ["cell", "nucleus"]
    assert {site: facts["channels"] for site, facts in record["facts"].items()} == dict.fromkeys(record["facts"], 3)
    for cases in record["cases"]["dsfedmed"].values():
        assert all(len(case["dice"]) == 2 for case in cases)
    assert (run.folder / "sites" / "site_c" / "soft_labels.safetensors").exists()
