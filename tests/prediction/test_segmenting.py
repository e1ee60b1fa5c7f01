# SPDX-License-Identifier: Apache-2.0
"""What is found in slices: the network's answer at the picture's own size, and errors with the file's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dsfedmed.data.files.read import read_raw
from dsfedmed.errors import DataError
from dsfedmed.prediction.model import SegmentationBundle
from dsfedmed.prediction.segmenting import Segmenter


@pytest.fixture
def bundle(grey_run: Path) -> SegmentationBundle:
    return SegmentationBundle(grey_run / "release")


def test_logits_are_enlarged_before_the_sigmoid(bundle: SegmentationBundle, images: Path) -> None:
    (found,) = Segmenter(bundle).segment([read_raw(images / "wide.png")], {})
    assert found.mask.shape == (44, 30)
    assert found.picture.shape == (1, 44, 30)
    small = bundle.preprocessing({"image": str(images / "wide.png")})["image"].as_tensor()
    with torch.no_grad():
        logits = bundle.network(small[None])
    wide = torch.nn.functional.interpolate(logits, (44, 30), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found.probabilities, wide[0].sigmoid().numpy(), atol=1e-5)


def test_slices_come_in_order_in_batches_of_any_size(bundle: SegmentationBundle, images: Path) -> None:
    seen: list[int] = []
    bundle.network.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    found = list(Segmenter(bundle, batch_size=3).segment([read_raw(images / "volume.nii.gz")], {}))
    assert [int(one.meta["patch_index"]) for one in found] == [0, 1, 2, 3]
    assert seen == [3, 1]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("shapes do not fit"), r"the model cannot take it \(shapes do not fit\)"),
        (MemoryError(), "there is not enough memory"),
        (torch.cuda.OutOfMemoryError("2 GiB"), "it does not fit on the GPU"),
    ],
)
def test_what_the_network_raises_names_the_file(
    error: Exception, reason: str, bundle: SegmentationBundle, images: Path
) -> None:
    def fail(*_: object) -> None:
        raise error

    bundle.inferer = fail
    with pytest.raises(DataError, match=rf"wide\.png: {reason}"):
        list(Segmenter(bundle).segment([read_raw(images / "wide.png")], {}))


def test_a_model_from_elsewhere_may_raise_anything(bundle: SegmentationBundle, images: Path) -> None:
    """The other images are tried all the same; who calls from Python finds the cause with its traceback."""
    bundle.inferer = lambda *_: 1 / 0
    with pytest.raises(DataError, match=r"the model cannot take it \(ZeroDivisionError: division by zero\)") as caught:
        list(Segmenter(bundle).segment([read_raw(images / "wide.png")], {}))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
