# SPDX-License-Identifier: Apache-2.0
"""A run without room on its disk is refused at the start, with what it needs and what is free."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from dsfedmed.cli.job.space import MINIMUM, REST, needed_bytes, require_space
from dsfedmed.errors import ConfigError
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.party.layout import SimulatedSites
from tests.runs.smoke import smoke

MIB, GIB = 2**20, 2**30
SITES = ("site_a", "site_b", "site_c")
Usage = namedtuple("Usage", "total used free")


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> list[Path]:
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(10 * size, 9 * size, size)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return asked


def test_the_need_counts_the_set_at_every_party_and_the_weights_that_are_kept(tmp_path: Path) -> None:
    settings = smoke(synthetic={"per_site": 1000}, image_size=64)
    layout = SimulatedSites(tmp_path, tmp_path / "run", tmp_path)
    samples = 3 * 1000 * 64 * 64 * (3 + 1)  # three sites, an image of three channels and its label
    need = needed_bytes(workflow_of("dsfedmed", settings), layout, SITES)
    assert need == MINIMUM + samples * (3 + 1)  # at the sites and the server
    assert needed_bytes(workflow_of("pfedsam", smoke("pfedsam")), layout, SITES) == MINIMUM
    teacher, unet = tmp_path / "teacher", tmp_path / "sd" / "unet" / "diffusion_pytorch_model.safetensors"
    teacher.write_bytes(b"x" * 1000)
    unet.parent.mkdir(parents=True)
    unet.write_bytes(b"x" * 500)
    more = SimulatedSites(tmp_path, tmp_path / "run", tmp_path, teacher=teacher, generator=tmp_path / "sd")
    assert needed_bytes(workflow_of("dsfedmed", settings), more, SITES) == need + 4 * 1000 + 2 * 3 * 250


def test_the_need_counts_volumes_at_network_size(tmp_path: Path) -> None:
    volume: Any = nibabel.Nifti1Image(np.ones((20, 16, 5), np.int16), np.eye(4))  # type: ignore[no-untyped-call]
    document = {"channels": 4, "slices": "all"}
    for name in SITES[:2]:
        (tmp_path / name).mkdir()
        for file in "abcd":
            nibabel.save(volume, tmp_path / name / f"{file}.nii")
        items = {"training": [{"image": ["a.nii", "b.nii", "c.nii", "d.nii"], "case": "a"}]}
        (tmp_path / name / "datalist.json").write_text(
            json.dumps({"labels": {"0": "background", "1": "lesion"}, **document, **items})
        )
    layout = SimulatedSites(tmp_path, tmp_path / "run", tmp_path)
    need = needed_bytes(workflow_of("pfedsam", smoke("pfedsam", image_size=64)), layout, SITES)
    assert need == MINIMUM + 2 * 5 * 64 * 64 * (4 * 4 + 1)  # five slices at two sites; the third has no datalist


def test_too_little_is_refused_with_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = free(monkeypatch, 300 * MIB)
    with pytest.raises(ConfigError, match=r"--out .*run: the disk is full but for 300 MiB.* needs about 2\.5 GiB"):
        require_space(tmp_path / "deep" / "run", 5 * GIB // 2)
    assert asked == [tmp_path]  # the run folder is not there yet
    free(monkeypatch, 3 * GIB)
    require_space(tmp_path / "deep" / "run", 5 * GIB // 2)


def test_what_a_run_has_written_is_not_needed_again_but_for_a_minimum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "store").open("wb") as stream:
        stream.truncate(2 * GIB)  # a hole: nothing is written
    free(monkeypatch, GIB)
    require_space(tmp_path, 5 * GIB // 2)
    free(monkeypatch, REST)
    require_space(tmp_path, 2 * GIB)
    free(monkeypatch, REST - 1)
    with pytest.raises(ConfigError, match="needs about 64 MiB"):
        require_space(tmp_path, 2 * GIB)
