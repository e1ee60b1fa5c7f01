# SPDX-License-Identifier: Apache-2.0
"""Reading a bundle's files: what is no JSON object of finite numbers is named; evaluate.json counts as it is laid."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dsfedmed.bundles.documents import CONFIGS, EVALUATE, METADATA, check_documents, read_config
from dsfedmed.errors import ConfigError
from tests.bundles.conftest import ROOT

BUNDLE = ROOT / "bundles" / "light_unet_segmentation"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"a": NaN}', "it holds NaN"),
        ('{"a": [-Infinity]}', "it holds -Infinity"),
        ("[" * 200_000, "is not JSON"),
        ("\0", "is not JSON"),
    ],
)
def test_what_is_no_configuration_is_named(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ConfigError, match=rf"x\.json: .*{reason}"):
        read_config(tmp_path / "x.json")


def test_every_file_is_read_once() -> None:
    assert check_documents(BUNDLE) == {name: read_config(BUNDLE / name) for name in CONFIGS}


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.json: cannot be read"):
        check_documents(tmp_path)
    shutil.copytree(BUNDLE, tmp_path / "b")
    (tmp_path / "b" / METADATA).unlink()
    with pytest.raises(ConfigError, match=r"metadata\.json: cannot be read"):
        check_documents(tmp_path / "b")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("validate::handlers::2::save_dir", "elsewhere", "validate::handlers::2::save_dir is 'elsewhere'"),
        ("train::trainer::_mode_", "debug", "_mode_ is 'debug'"),
        ("network_def::_target_", "os.system", "network_def::_target_ is 'os.system'"),
        ("+initialize", ["$__import__('os')"], "has the key"),
        ("a#b", 1, "has the key"),
        ("no::such::place", 1, r"does not fit train\.json"),
    ],
)
def test_evaluate_is_judged_as_it_lies_over_train(tmp_path: Path, key: str, value: object, reason: str) -> None:
    folder = shutil.copytree(BUNDLE, tmp_path / "b")
    (folder / EVALUATE).write_text(json.dumps({**read_config(folder / EVALUATE), key: value}))
    with pytest.raises(ConfigError, match=rf"evaluate\.json.*{reason}"):
        check_documents(folder)
