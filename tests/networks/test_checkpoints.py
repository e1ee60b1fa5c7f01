# SPDX-License-Identifier: Apache-2.0
"""Weights files: what loads, what is refused, and whether the error says where, why and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dsfedmed.errors import CheckpointError, StoreError
from dsfedmed.networks.checkpoints import load_weights, read_state, save_weights
from dsfedmed.networks.promptless_sam import build_promptless_sam


class Headed(nn.Module):
    class_dependent_prefixes = ("head.",)

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, classes)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_what_is_saved_loads_again(tmp_path: Path, suffix: str) -> None:
    source, target = Headed(2), Headed(2)
    path = tmp_path / f"weights{suffix}"
    save_weights(source.state_dict(), path)
    report = load_weights(target, path)
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True)
    )
    assert set(report.loaded) == set(source.state_dict())
    assert report.missing == report.unexpected == report.dropped == ()
    assert report.summary() == f"weights{suffix}: 4 tensors loaded.", "no folder: it goes into records"
    assert load_weights(target, path, "teacher").source == f"teacher: weights{suffix}"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
def test_wrapped_torch_files_are_unwrapped(tmp_path: Path, wrapper: str) -> None:
    torch.save({wrapper: Headed(1).state_dict(), "epoch": 3}, tmp_path / "w.pt")
    assert len(load_weights(Headed(1), tmp_path / "w.pt").loaded) == 4


def test_missing_file_names_path_and_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"teacher: .*none\.safetensors.*expected.*safetensors"):
        load_weights(Headed(1), tmp_path / "none.safetensors", "teacher")


def test_another_architecture_is_refused_with_its_first_keys(tmp_path: Path) -> None:
    save_weights(build_promptless_sam("tiny", 32, 1).state_dict(), tmp_path / "w.safetensors")
    network = Headed(1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"another architecture.*lacks body\.weight.*has unknown .*and \d+ more"):
        load_weights(network, tmp_path / "w.safetensors")
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_misshapen_tensor_is_named_with_both_shapes(tmp_path: Path) -> None:
    save_weights(build_promptless_sam("tiny", 64, 1).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(
        CheckpointError, match=r"patch_embed\.proj\.weight is \(32, 3, 8, 8\) there and \(32, 3, 4, 4\)"
    ):
        load_weights(build_promptless_sam("tiny", 32, 1), tmp_path / "w.safetensors")


def test_class_head_changes_only_when_asked(tmp_path: Path) -> None:
    source, target = build_promptless_sam("tiny", 32, 1, seed=1), build_promptless_sam("tiny", 32, 3, seed=2)
    save_weights(source.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="allow_head_change"):
        load_weights(target, tmp_path / "w.safetensors")
    report = load_weights(target, tmp_path / "w.safetensors", allow_head_change=True)
    assert set(report.dropped) == {"mask_decoder.seg1.weight", "mask_decoder.seg1.bias"}
    assert "dropped" in report.summary()
    key = "image_encoder.neck.0.weight"
    assert torch.equal(target.state_dict()[key], source.state_dict()[key])


def test_official_sam_without_class_head_loads_when_asked(tmp_path: Path) -> None:
    network = build_promptless_sam("tiny", 32, 1)
    official = {key: value for key, value in network.state_dict().items() if "seg1" not in key}
    save_weights(official, tmp_path / "sam.pth")
    with pytest.raises(CheckpointError, match=r"lacks mask_decoder\.seg1\.weight"):
        load_weights(network, tmp_path / "sam.pth")
    report = load_weights(network, tmp_path / "sam.pth", allow_head_change=True)
    assert set(report.missing) == {"mask_decoder.seg1.weight", "mask_decoder.seg1.bias"}


def test_head_permission_does_not_cover_the_body(tmp_path: Path) -> None:
    state = {key: value for key, value in Headed(1).state_dict().items() if key != "body.bias"}
    save_weights(state, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks body\.bias"):
        load_weights(Headed(2), tmp_path / "w.safetensors", allow_head_change=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    state = Headed(1).state_dict()
    state["body.bias"][1] = value
    save_weights(state, tmp_path / "w.safetensors")
    network = Headed(1)
    with pytest.raises(CheckpointError, match=r"not finite in body\.bias"):
        load_weights(network, tmp_path / "w.safetensors")
    assert torch.isfinite(network.body.bias).all()


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code in a weights file ran')",))


def test_code_in_a_weights_file_does_not_run(tmp_path: Path) -> None:
    torch.save({"body.weight": Payload()}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="plain weights"):
        load_weights(Headed(1), tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x00" * 200])
def test_damaged_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        read_state(tmp_path / name)


def test_truncated_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(Headed(1).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="plain weights"):
        read_state(path)


def test_a_torch_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="no dict of tensors"):
        read_state(tmp_path / "w.pt")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        save_weights(Headed(1).state_dict(), tmp_path / "file" / "w.safetensors")
