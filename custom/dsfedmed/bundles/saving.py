# SPDX-License-Identifier: Apache-2.0
"""``SaveMasksd``: what inference found goes back to files, the slices of a volume as the one volume that they are.

MONAI's ``SaveImaged`` writes one file a slice, all of them at the position of slice 0. What a mask needs to lie where
its image lies, the loader puts into the metadata of the image (see `SaveMasksd`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from PIL import Image

from dsfedmed.bundles.volumes import VolumeMask, write_nifti
from dsfedmed.data.files.kinds import SUFFIXES, stem_of, suffix_of
from dsfedmed.data.files.read import probe
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.store.files import write_atomic

PICTURES = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"}
NIFTI = (".nii.gz", ".nii")
EXTENSIONS = (*PICTURES, ".npy", *NIFTI)
"""Formats that keep label values as they are; JPEG does not."""


class SaveMasksd(MapTransform):
    """Write label maps (1, X, Y), values 0..255, into files of the image's name, size and place.

    A flat picture becomes ``NAME_mask`` with ``output_ext``: NIfTI with the image's affine, the others in the image's
    orientation. Slices of a volume are gathered, in any order, and written once, when the last one has come, as
    ``NAME_mask.nii.gz`` (``.nii`` where ``output_ext`` says so): uint8, with the shape, axes and affine that are stored
    in the image's file. In the usual order one volume is in memory, one byte a voxel.

    Metadata that are read: ``filename_or_obj``; of flat pictures ``original_affine`` (4 x 4, mm) and, where a picture
    was reduced while reading, ``full_shape`` (x, y), its own size, to which the mask is brought by nearest neighbour;
    of slices those of `dsfedmed.bundles.volumes`.

    What lacks slices at the end of a run is told by `RequireWholeVolumes`, which belongs to the evaluator's handlers.

    Args:
        keys: the label maps.
        output_dir: folder to write to; made where it is missing.
        data_root_dir: folder of the images; the folders below it are made below ``output_dir`` as well.
        output_ext: one of ``EXTENSIONS``, for flat pictures.
        output_postfix: what the name gets behind the image's own.
        allow_missing_keys: let items without a label map pass.

    Raises:
        ConfigError: an ``output_ext`` that no label map can be written to.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path,
        data_root_dir: str | Path,
        output_ext: str = ".png",
        output_postfix: str = "mask",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if output_ext not in EXTENSIONS:
            fix = f"Use one of {', '.join(EXTENSIONS)}."
            raise ConfigError("output_ext", f"{output_ext!r} does not keep label values as they are", fix)
        self.output_dir, self.data_root_dir = Path(output_dir), Path(data_root_dir)
        self.output_ext, self.output_postfix = output_ext, output_postfix
        self._volumes: dict[str, VolumeMask] = {}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write or gather the item's label maps and return the item as it came.

        Raises:
            DataError: naming the image, when the mask does not fit it, or its metadata got lost on the way.
            StoreError: a file cannot be written.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            self._take(item[key])
        return item

    def start(self) -> None:
        """Forget the slices of a run that was broken off."""
        self._volumes.clear()

    def finish(self) -> None:
        """Make sure that every volume is written.

        Raises:
            DataError: naming the first volume that lacks slices; nothing of it is written.
        """
        for volume in self._volumes.values():
            volume.require_whole()

    def _take(self, pred: Any) -> None:
        if not isinstance(pred, MetaTensor) or "filename_or_obj" not in pred.meta:
            raise DataError("a mask", "it does not say which image it belongs to", "Load images with LoadSiteImaged.")
        name, meta = str(pred.meta["filename_or_obj"]), pred.meta
        mask = _label_map(name, pred)
        if meta.get("patch_index") is not None:
            self._gather(name, mask, meta)
            return
        # MONAI keeps of a batch's metadata only the keys that all its images have.
        found = probe(Path(name))
        if found.slices is not None or ("full_shape" not in meta and mask.shape != found.size):
            size = " x ".join(str(n) for n in (*found.size, found.slices) if n is not None)
            reason = f"its mask is {mask.shape[0]} x {mask.shape[1]} and the image {size}"
            fix = "Invert the resizing before masks are saved, and use a batch size of 1 where images differ in kind."
            raise DataError(name, reason, fix)
        self._write_flat(name, mask, meta)

    def _gather(self, name: str, mask: np.ndarray, meta: Mapping[str, Any]) -> None:
        if name not in self._volumes:
            self._volumes[name] = VolumeMask(name, meta, mask.shape)
        volume = self._volumes[name]
        volume.add(int(meta["patch_index"]), mask)
        if not volume.missing:
            volume.write(self._path(name, self.output_ext if self.output_ext in NIFTI else NIFTI[0]))
            del self._volumes[name]

    def _write_flat(self, name: str, mask: np.ndarray, meta: Mapping[str, Any]) -> None:
        shown = as_shown(mask, meta)
        path = self._path(name, self.output_ext)
        if self.output_ext in NIFTI:
            self._write_flat_nifti(path, name, shown.T, meta)
        elif self.output_ext == ".npy":
            write_atomic(path, lambda part: _save_npy(part, shown))
        else:
            write_picture(path, shown)

    @staticmethod
    def _write_flat_nifti(path: Path, name: str, mask: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Write with the axes and affine that the image's file has, where it says so, else with those as read."""
        if "frame_shape" not in meta:
            write_nifti(path, mask, meta["original_affine"])
            return
        stored = VolumeMask(name, {**meta, "frame_slices": 1}, mask.shape)
        stored.add(0, mask)
        stored.write(path, flat=True)

    def _path(self, name: str, extension: str) -> Path:
        image, root = Path(name), self.data_root_dir.absolute()
        folder = root if image.absolute() == root else image.absolute().parent  # the folder may itself be one series
        try:
            below = folder.relative_to(root)
        except ValueError as error:
            fix = "Name the folder that holds the images as dataset_dir."
            raise DataError(name, f"it does not lie in {self.data_root_dir}", fix) from error
        return self.output_dir / below / f"{result_stem(image)}_{self.output_postfix}{extension}"


class RequireWholeVolumes:
    """A handler for the evaluator: a run that ends while a volume lacks slices ends with an error that names it.

    Args:
        saver: the transform that gathers the slices.
    """

    def __init__(self, saver: SaveMasksd) -> None:
        self.saver = saver

    def attach(self, engine: Engine) -> None:
        """Start with no slices, and ask at the end."""
        engine.add_event_handler(Events.STARTED, self.saver.start)
        engine.add_event_handler(Events.COMPLETED, self.saver.finish)


def as_shown(plane: np.ndarray, meta: Mapping[str, Any]) -> np.ndarray:
    """Return a flat picture's mask, or one class's probabilities, as the picture is looked at and at its own size.

    Args:
        plane: (X, Y) as read, uint8 or float32.
        meta: of the image; ``full_shape`` (x, y) where it was reduced while reading.

    Returns:
        (rows, columns) of the same type; enlarged labels by the nearest pixel, probabilities between pixels.
    """
    turned = np.ascontiguousarray(plane.T)
    if meta.get("full_shape") is None:
        return turned
    width, height = (int(n) for n in meta["full_shape"])
    between = Image.Resampling.NEAREST if plane.dtype == np.uint8 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(turned).resize((width, height), between))


def write_picture(path: Path, shown: np.ndarray) -> None:
    """Write (rows, columns), uint8 or (TIFF only) float32, in the format that the suffix names, atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    picture = Image.fromarray(shown)
    write_atomic(path, lambda part: picture.save(part, format=PICTURES[path.suffix]))


def result_stem(path: Path) -> str:
    """Return what results of an image are called: its name without a suffix of images (".nii.gz" is one).

    A name without such a suffix stays whole: "IM.0001" and "IM.0002" are two images.
    """
    return stem_of(path) if suffix_of(path) in SUFFIXES else path.name


def _label_map(name: str, pred: MetaTensor) -> np.ndarray:
    """Return (X, Y) uint8."""
    values = pred.as_tensor().detach().cpu().numpy()
    if values.ndim != 3 or len(values) != 1 or not ((values >= 0) & (values <= 255) & (values % 1 == 0)).all():
        reason = f"its mask of shape {values.shape} is not a label map (1, X, Y) of whole numbers 0..255"
        raise DataError(name, reason, "Put ChannelsToLabeld before the saving.")
    return np.asarray(values[0].astype(np.uint8))


def _save_npy(part: Path, values: np.ndarray) -> None:
    with part.open("wb") as stream:
        np.save(stream, values)
