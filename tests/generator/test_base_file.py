# SPDX-License-Identifier: Apache-2.0
"""A base as a file: the same bytes for the same weights, and refused in one line where it does not fit the run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dsfedmed.errors import ConfigError
from dsfedmed.generator import GeneratorConfig, build_base
from dsfedmed.generator.base_file import ENTRY, read_base, read_header, write_base
from dsfedmed.generator.networks.fingerprint import WEIGHTS_DEPEND_ON, base_fingerprint
from dsfedmed.version import VERSION


@pytest.fixture
def file(tiny: GeneratorConfig, tmp_path: Path) -> Path:
    write_base(tmp_path / "base.safetensors", build_base(tiny, 3).state_dict(), tiny)
    return tmp_path / "base.safetensors"


def test_it_comes_back_with_what_it_was_made_for(tiny: GeneratorConfig, file: Path) -> None:
    found, made = read_base(file, tiny), build_base(tiny, 3).state_dict()
    assert found.keys() == made.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in made.items())
    header = read_header(file)
    assert GeneratorConfig.from_dict(header.generator_model) == tiny
    assert (header.fingerprint, header.version) == (base_fingerprint(tiny), VERSION)


def test_the_same_weights_are_the_same_file(tiny: GeneratorConfig, file: Path, tmp_path: Path) -> None:
    write_base(tmp_path / "again.safetensors", build_base(tiny, 3).state_dict(), tiny)
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_size": 32}, r"a base for image_size 16 \(the run has 32\)"),
        ({"channels": 3, "image_mean": 0.5}, r"for channels 1 \(the run has 3\), image_mean 0\.3 \(the run has 0\.5\)"),
        ({"prediction_type": "v_prediction"}, "prediction_type sample"),
    ],
)
def test_another_generator_s_base_is_refused(
    tiny: GeneratorConfig, file: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        read_base(file, dataclasses.replace(tiny, **change))
    assert "dsfedmed pretrain-generator" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_weights_do_not_depend_on_may_differ(tiny: GeneratorConfig, file: Path) -> None:
    other = dataclasses.replace(tiny, num_classes=1, guidance=2.0, sampler_steps=2, branch_learning_rate=1.0)
    assert base_fingerprint(other) == base_fingerprint(tiny)
    assert read_base(file, other)
    assert set(WEIGHTS_DEPEND_ON) < set(tiny.to_dict())


def test_what_is_no_base_is_refused(tiny: GeneratorConfig, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(ConfigError, match="there is no such file"):
        read_header(path)
    path.write_bytes(b"not weights")
    with pytest.raises(ConfigError, match="is not a file of a generator base"):
        read_header(path)
    for metadata in (None, {ENTRY: "{"}, {ENTRY: "[1]"}, {ENTRY: json.dumps({"fingerprint": "x"})}):
        save_file({"a": torch.zeros(1)}, path, metadata=metadata)
        with pytest.raises(ConfigError, match="is not a file of a generator base"):
            read_base(path, tiny)


def test_other_tensors_are_refused(tiny: GeneratorConfig, tmp_path: Path) -> None:
    path, weights = tmp_path / "x.safetensors", build_base(tiny).state_dict()
    name = next(iter(weights))
    for wrong in (weights[name][:1], weights[name].half(), torch.full_like(weights[name], float("nan"))):
        write_base(path, {**weights, name: wrong}, tiny)
        with pytest.raises(ConfigError, match=name):
            read_base(path, tiny)


def test_a_base_of_a_program_that_knows_more_is_refused(
    tiny: GeneratorConfig, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsfedmed.generator.base_file.base_fingerprint", lambda config: "another")
    with pytest.raises(ConfigError, match=f"a base of another kind, made by version {VERSION}"):
        read_base(file, tiny)
