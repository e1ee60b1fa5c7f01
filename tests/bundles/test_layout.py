# SPDX-License-Identifier: Apache-2.0
"""A bundle's folder holds no code, no further configuration, no way out; its logging.conf only prints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dsfedmed.bundles.layout import LOGGING, layout_complaints, logging_complaints
from tests.bundles.conftest import ROOT

BUNDLE = ROOT / "bundles" / "light_unet_segmentation"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A bundle to spoil."""
    return shutil.copytree(BUNDLE, tmp_path / "bundle")


def test_a_committed_bundle_has_nothing_to_complain_of(copy: Path) -> None:
    assert list(layout_complaints(copy)) == list(logging_complaints(copy)) == []
    (copy / "models").mkdir()
    (copy / "models" / "model.pt").touch()
    assert list(layout_complaints(copy)) == []


@pytest.mark.parametrize("name", ["scripts/net.py", "monai/__init__.PY", "models/x.so", "docs/run.sh", "models/a.pkl"])
def test_code_is_told(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).touch()
    assert list(layout_complaints(copy)) == [f"{name} is code; a bundle for sites is configuration only"]


@pytest.mark.parametrize("name", ["inference.yaml", "multi_gpu_train.json"])
def test_a_further_configuration_is_told(copy: Path, name: str) -> None:
    (copy / "configs" / name).write_text("{}")
    (found,) = layout_complaints(copy)
    assert f"configs/{name} is not a configuration of a bundle" in found


def test_links_out_are_told(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    (copy / "models").mkdir()
    (copy / "models" / "model.pt").symlink_to(tmp_path / "weights.pt")
    assert list(layout_complaints(copy)) == ["models/model.pt is a link out of the bundle"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("args=(sys.stdout,)", "args=(__import__('os').system('true'),)"),
        ("class=logging.StreamHandler", "class=__import__('os').system"),
        ("class=logging.StreamHandler", "class=logging.FileHandler"),
        ("formatter=fullFormatter", "kwargs={'a': __import__('os').system('true')}"),
        ("[loggers]", "[DEFAULT]\nargs=(1,)\n[loggers]"),
        ("[loggers]", "[loggers"),
    ],
)
def test_a_logging_file_that_computes_is_told(copy: Path, old: str, new: str) -> None:
    text = (copy / LOGGING).read_text()
    assert old in text
    (copy / LOGGING).write_text(text.replace(old, new))
    assert LOGGING in " ".join(logging_complaints(copy))
