# SPDX-License-Identifier: Apache-2.0
"""Uploads on disk: NVFlare's switch is set and put back, and what it lays on disk is read as if it had come in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from nvflare.app_opt.pt.lazy_tensor_dict import LazyTensorDict
from nvflare.fuel.utils.fobs import FOBSContextKey
from safetensors.torch import save_file

from dsfedmed.errors import PayloadError
from dsfedmed.federated.wire.message import Message
from dsfedmed.flare.codec import from_model, to_model
from dsfedmed.flare.offload import tensors_on_disk


class Cell:
    """The part of NVFlare's cell that knows where arriving tensors go."""

    def __init__(self) -> None:
        self.context: dict[str, Any] = {}

    def get_fobs_context(self) -> dict[str, Any]:
        return dict(self.context)

    def update_fobs_context(self, values: dict[str, Any]) -> None:
        self.context.update(values)


def _engine(cell: Cell | None) -> Any:
    return SimpleNamespace(run_manager=None, get_cell=lambda: cell)


@pytest.mark.parametrize("fails", [False, True])
def test_the_switch_is_set_within_the_block_and_put_back(tmp_path: Path, monkeypatch: Any, fails: bool) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cell = Cell()
    try:
        with tensors_on_disk(_engine(cell), True, "job") as applied:
            assert applied
            assert cell.context[FOBSContextKey.TENSOR_DISK_OFFLOAD] is True
            assert len(list(tmp_path.iterdir())) == 1
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert not cell.context[FOBSContextKey.TENSOR_DISK_OFFLOAD]
    assert list(tmp_path.iterdir()) == []


def test_in_the_simulator_the_switch_is_set_at_the_job_s_own_cell_too(tmp_path: Path, monkeypatch: Any) -> None:
    """Found by trial: there tensors arrive at another cell than the engine names."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cell, own = Cell(), Cell()
    engine = SimpleNamespace(run_manager=None, get_cell=lambda: cell, server=SimpleNamespace(job_cell=own))
    with tensors_on_disk(engine, True, "job") as applied:
        assert applied
        assert cell.context[FOBSContextKey.TENSOR_DISK_OFFLOAD] is True
        assert own.context[FOBSContextKey.TENSOR_DISK_OFFLOAD] is True
    assert not own.context[FOBSContextKey.TENSOR_DISK_OFFLOAD]
    assert list(tmp_path.iterdir()) == []


def test_switched_off_or_without_a_cell_nothing_changes() -> None:
    cell = Cell()
    with tensors_on_disk(_engine(cell), False, "job") as applied:
        assert not applied
    with tensors_on_disk(_engine(None), True, "job") as applied:
        assert not applied
    assert cell.context == {}


def _on_disk(message: Message, folder: Path) -> Any:
    """The model as it arrives when NVFlare has laid its tensors on disk, and nothing of them in memory."""
    model = to_model(message)
    folder.mkdir()
    save_file(dict(model.params), str(folder / "chunk.safetensors"))
    lazy = LazyTensorDict({name: (str(folder / "chunk.safetensors"), name) for name in model.params}, str(folder))
    model.params = {name: lazy.make_lazy_ref(name) for name in model.params}
    return model


def test_tensors_on_disk_are_read_and_checked_like_others_and_the_files_go(tmp_path: Path) -> None:
    sent = Message({"round": 1}, {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.uint8)}, True)
    model = _on_disk(sent, tmp_path / "one")
    got = from_model(model, "site_a")
    assert all(torch.equal(got.tensors[name], tensor) for name, tensor in sent.tensors.items())
    del model
    assert not (tmp_path / "one").exists()
    spoilt = _on_disk(sent, tmp_path / "two")
    save_file({"a": torch.zeros(2, 3), "b": torch.ones(4, dtype=torch.uint8)}, str(tmp_path / "two/chunk.safetensors"))
    with pytest.raises(PayloadError, match="site_a: sent tensors that do not match their hash"):
        from_model(spoilt, "site_a")
