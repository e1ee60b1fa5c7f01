# SPDX-License-Identifier: Apache-2.0
"""`dsfedmed pretrain-generator`: the same file for the same seed, how it was made, and refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsfedmed.cli.main import main
from dsfedmed.data.demo.public import make_public_shapes
from dsfedmed.generator.base_file import read_base, read_header
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.store.files import file_sha256, read_json

MODEL = ["block_out_channels=[16, 32]", "norm_groups=8", "attention_head_channels=16", "batch_size=4"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    make_public_shapes(folder, count=12)
    return folder


def pretrain(shapes: Path, out: Path, *words: str) -> int:
    model = [word for text in MODEL for word in ("--set", text)]
    data = ["--data", str(shapes / "rings"), str(shapes / "stars")]
    return main(["pretrain-generator", *data, "--image-size", "32", "--steps", "2", *model, "--out", str(out), *words])


def test_the_same_seed_writes_the_same_file(shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = (tmp_path / name / "base.safetensors" for name in "abc")
    assert [pretrain(shapes, a), pretrain(shapes, b), pretrain(shapes, c, "--seed", "1")] == [0, 0, 0]
    assert a.read_bytes() == b.read_bytes()
    assert a.read_bytes() != c.read_bytes()
    said = capsys.readouterr().out
    assert "public/rings: 3 images" in said
    assert "step 2/2" in said
    assert "left" in said
    document = read_json(a.with_suffix(".json"))
    assert document["sha256"] == file_sha256(a)
    assert (document["steps"], document["data"]) == (2, {"public/rings": 3, "public/stars": 3})
    assert str(tmp_path) not in json.dumps(document)
    assert str(shapes) not in json.dumps(document)


def test_the_file_fits_the_run_it_was_made_for(shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "base.safetensors"
    assert pretrain(shapes, out, "--channels", "3", "--minutes", "5") == 0
    config = GeneratorConfig.from_dict(read_header(out).generator_model)
    assert (config.image_size, config.channels, config.block_out_channels) == (32, 3, (16, 32))
    assert read_base(out, config)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "image_size=64"], "--set image_size: has an option of its own. Give --image-size"),
        (["--set", "norm_group=8"], "generator_model.norm_group: unknown key. Did you mean 'norm_groups'"),
        (["--set", "base=stable_diffusion"], "'stable_diffusion' is not trained here"),
        (["--steps", "0"], "0 is not positive"),
        (["--minutes", "0"], "0.0 is not positive"),
        (["--image-size", "1"], "generator_model.image_size: 1 is not usable"),
        (["--out", "base.pt"], "base.pt: does not end in .safetensors"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert pretrain(shapes, tmp_path / "base.safetensors", *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
