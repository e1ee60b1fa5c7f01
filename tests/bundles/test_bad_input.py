# SPDX-License-Identifier: Apache-2.0
"""A bundle alone on bad input: an error that names the file and what is wrong with it, and no mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsfedmed.errors import CheckpointError, DataError, DSFedMedError
from tests.bundles.conftest import ROOT, blocks, write_site
from tests.bundles.test_bundles_alone import run, saved, workflow
from tests.data.conftest import write_image

BUNDLE = ROOT / "bundles" / "light_unet_segmentation"


def cause_of(failure: pytest.ExceptionInfo[Exception]) -> DSFedMedError:
    """MONAI wraps what a component raises; the message that helps is at the bottom."""
    cause: BaseException | None = failure.value
    while cause is not None and not isinstance(cause, DSFedMedError):
        cause = cause.__cause__ or cause.__context__
    assert cause is not None, failure.value
    return cause


def infer(images: Path, weights: Path, out: Path, **settings: object) -> None:
    paths = {"dataset_dir": str(images), "ckpt_path": str(weights), "output_dir": str(out)}
    run(workflow(BUNDLE, ["inference"], "infer", **paths, **settings))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_image(tmp_path / "images" / "whole.png", blocks(0, 1, False)[0])
    return tmp_path / "images"


def test_a_corrupt_image_is_named(images: Path, tmp_path: Path) -> None:
    (images / "broken.png").write_bytes((images / "whole.png").read_bytes()[:60])
    with pytest.raises(Exception) as failure:  # noqa: PT011 (MONAI decides what wraps it)
        infer(images, saved(BUNDLE, tmp_path), tmp_path / "masks")
    assert isinstance(cause_of(failure), DataError)
    assert "broken.png" in str(cause_of(failure))
    assert not (tmp_path / "masks" / "broken_mask.png").exists()


@pytest.mark.parametrize(
    ("settings", "wrong"), [({"in_channels": 3}, "shape"), ({"num_classes": 2}, "shape"), ({"in_channels": 2}, "shape")]
)
def test_weights_of_another_network_are_refused(
    images: Path, tmp_path: Path, settings: dict[str, int], wrong: str
) -> None:
    weights = saved(BUNDLE, tmp_path)
    with pytest.raises(Exception) as failure:  # noqa: PT011
        infer(images, weights, tmp_path / "masks", **settings)
    assert isinstance(cause_of(failure), CheckpointError)
    assert wrong in str(cause_of(failure))
    assert not (tmp_path / "masks").exists()


def test_a_label_that_the_bundle_does_not_know_stops_training(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    site = write_site(tmp_path / "site", 1, False, (".png", ".png"))
    label = blocks(0, 1, False)[1]
    label[label == 1] = 7
    label[0, 0] = 9  # 0 and one other number would be a mask of the one class
    write_image(site / "l0.png", np.ascontiguousarray(label))
    paths = {"dataset_dir": str(site), "ckpt_dir": str(tmp_path / "models")}
    with pytest.raises(Exception) as failure:  # noqa: PT011
        run(workflow(BUNDLE, ["train"], "train", **paths, epochs=1, batch_size=4))
    assert isinstance(cause_of(failure), DataError)
    assert "7" in str(cause_of(failure))
    assert not (tmp_path / "models" / "model.pt").exists()
