# SPDX-License-Identifier: Apache-2.0
"""A device that this machine has not is refused by its name, with the reason."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.devices import require_device
from dsfedmed.errors import ConfigError


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_the_cpu_is_there(name: str) -> None:
    require_device(name)


@pytest.mark.parametrize("name", ["gpu0", "", "cuda:x", "cuda:-1"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"device {name}: is not a device that torch knows"):
        require_device(name)


@pytest.mark.parametrize(
    ("gpus", "built", "name", "reason"),
    [
        (0, True, "cuda", "device cuda: torch finds no CUDA GPU on this machine"),
        (0, False, "cuda:0", "device cuda:0: this torch was built without CUDA"),
        (2, True, "cuda:2", "device cuda:2: this machine has 2 GPUs, numbered from 0"),
        (1, True, "cuda:1", "device cuda:1: this machine has 1 GPU, numbered from 0"),
        (1, True, "meta", "device meta: a meta device is not supported"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, gpus: int, built: bool, name: str, reason: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    with pytest.raises(ConfigError, match=reason):
        require_device(name)


def test_a_gpu_that_is_there_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_device("cuda")
    require_device("cuda:1")
