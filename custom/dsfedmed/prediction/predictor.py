# SPDX-License-Identifier: Apache-2.0
"""``load`` and `Predictor`: a finished model in one line of Python."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from dsfedmed.data.files.numpys import raw_of
from dsfedmed.data.files.raw import Raw
from dsfedmed.data.files.read import read_raw
from dsfedmed.errors import DataError
from dsfedmed.prediction.assembling import Prediction, assemble
from dsfedmed.prediction.model import SegmentationBundle, find_release
from dsfedmed.prediction.segmenting import Found, Segmenter
from dsfedmed.prediction.sources import Source

FIX = "Name an image, or a folder that holds one DICOM series."
LAYOUTS = (
    "Give (rows, columns) or (rows, columns, channels); np.moveaxis(image, 0, -1) puts channels that come first last."
)


def load(
    path: str | Path, device: str = "cpu", *, batch_size: int = 1, also_allowed: Collection[str] = ()
) -> Predictor:
    """Open a finished model. Research only; not for clinical use.

    The folder may come from elsewhere. Checked before anything of it runs: that it holds no code and no link out of it,
    that its configurations name only classes of `dsfedmed.bundles.allowed_classes` and compute only what
    `dsfedmed.bundles.rules` allow; weights are read by ``torch.load(weights_only=True)`` and have to be those of the
    bundle's network, all of them and finite. Not checked: how good the model is, and how much memory it asks for.

    Args:
        path: a run's folder, its ``release``, or a bundle with weights in ``models/model.pt``.
        device: "cpu", "cuda", "cuda:N" or "mps".
        batch_size: slices of a volume at once; with 1 masks are those of ``monai.bundle run`` to the last bit.
        also_allowed: classes and functions that you accept beyond the list.

    Raises:
        ConfigError: no such folder, no run and no bundle, something in it that is not allowed, or no such device.
        CheckpointError: no weights, or those of another network.
    """
    bundle = SegmentationBundle(find_release(Path(path)), also_allowed)
    return Predictor(Segmenter(bundle, device, batch_size))


class Predictor:
    """A model that is ready.

    Args:
        segmenter: the bundle on its device.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def __repr__(self) -> str:
        """Return the model in one line."""
        classes = f"{len(self.classes)} class{'es' if len(self.classes) > 1 else ''} ({', '.join(self.classes)})"
        channels = f"{self.channels} channel{'s' if self.channels > 1 else ''}"
        return f"<Predictor: {classes}, {channels}, on {self._segmenter.device}>"

    @property
    def bundle(self) -> SegmentationBundle:
        """The bundle that was opened."""
        return self._segmenter.bundle

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes; class k + 1 is value k + 1 of the masks."""
        return self.bundle.class_names

    @property
    def channels(self) -> int:
        """Image channels that the model takes; 1 and 3 stand for each other (grey and RGB)."""
        return self.bundle.channels

    def predict(self, image: str | Path | np.ndarray, *, probabilities: bool = True) -> Prediction:
        """Return mask, probabilities and areas of one image.

        Args:
            image: a file of any format of ``docs/reference/formats.md``, a folder that holds one DICOM series, or an
                array of numbers as NPY files hold them: (rows, columns), or (rows, columns, channels) with at most 16
                channels. Channels are always the last axis; (channels, rows, columns) is refused, and so are volumes,
                which need a file that says how they lie. Numbers are scaled as the file's would be: uint8 by 255,
                other types by their percentiles 0.5 and 99.5, unless the model has a window.
            probabilities: keep them; of a volume they need four bytes a voxel and class.

        Raises:
            DataError: naming the file, when it is not there or cannot be read, or does not have the model's channels.
        """
        if isinstance(image, np.ndarray):
            raws: tuple[Raw, ...] = (_from_array(image, self.channels),)
            return assemble(raws[0], self._segmenter.segment(raws, {}), self.bundle, probabilities)
        if not isinstance(image, (str, Path)):
            raise DataError("image", f"it is a {type(image).__name__}", "Give a path or a numpy array.")
        if not Path(image).exists():
            raise DataError(image, "there is no such file or folder", FIX)
        return self.predict_source(Source.of(Path(image)), probabilities=probabilities)

    def predict_source(
        self, source: Source, *, probabilities: bool = False, look: Callable[[Found], None] = lambda _: None
    ) -> Prediction:
        """Return the prediction of an image as `dsfedmed.prediction.sources` lists them.

        Args:
            source: the image.
            probabilities: keep them.
            look: is shown every picture or slice.

        Raises:
            DataError: as `predict`.
        """
        raws = tuple(read_raw(path) for path in source.files)
        found = self._segmenter.segment(raws, source.options)
        return assemble(raws[0], found, self.bundle, probabilities, look)


def _from_array(image: np.ndarray, channels: int) -> Raw:
    """Return a picture; an array in which the channels seem to come first is told so."""
    if image.ndim == 3 and image.shape[0] in (1, 3, channels) and image.shape[2] not in (1, 3, channels):
        raise DataError("image", f"its shape is {image.shape}, with the channels first", LAYOUTS)
    try:
        return raw_of(Path("image"), image)
    except DataError as error:
        raise DataError("image", error.reason, LAYOUTS) from error
