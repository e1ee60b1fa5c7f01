# SPDX-License-Identifier: Apache-2.0
"""MONAI Label's bundle tasks, made to fail where they would go on with a wrong network or with nothing to learn."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Activationsd, SaveImaged
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask
from monailabel.utils.others.generic import file_ext

from dsfedmed.bundles.saving import SaveMasksd
from dsfedmed.bundles.volumes import VolumeMask, slice_affine, write_nifti
from dsfedmed.data.files.read import probe
from dsfedmed.errors import CheckpointError, DataError

NIFTI = (".nii", ".nii.gz")


class InferTask(BundleInferTask):  # type: ignore[misc]
    """A bundle's inference; weights must be there and must be those of the bundle's network.

    A volume is segmented slice by slice and answered with one NIfTI mask that has its shape and affine; with
    ``slice_index`` in the request it is that slice alone, at its own position.
    """

    def __init__(self, path: str, conf: dict[str, str], **kwargs: Any) -> None:
        super().__init__(path, conf, post_filter=[SaveMasksd, SaveImaged], load_strict=True, **kwargs)
        self.folder = Path(path)

    def __call__(self, request: Any, callbacks: Any = None) -> tuple[str | None, dict[str, Any]]:
        """Run the bundle on the request's image; return the mask's file and what MONAI Label says of it.

        Raises:
            CheckpointError: no weights, or those of another network.
            DataError: naming the image that cannot be read.
        """
        image = request.get("image")
        whole = isinstance(image, str) and request.get("slice_index") is None and not self.skip_writer
        slices = probe(Path(image)).slices if whole else None
        if slices is None:
            return super().__call__(request, callbacks)  # type: ignore[no-any-return]
        mask: VolumeMask | None = None
        for index in range(slices):
            _, data = super().__call__({**request, "slice_index": index, "skip_writer": True}, callbacks)
            found = np.asarray(data["pred"], dtype=np.uint8)
            mask = mask or VolumeMask(image, data["image"].meta, found.shape)
            mask.add(index, found)
        with tempfile.NamedTemporaryFile(suffix=NIFTI[1], delete=False) as file:
            path = Path(file.name)
        if mask is not None:
            mask.write(path)
        return str(path), {"label_names": self.labels}

    def _get_network(self, device: str, data: Any) -> Any:
        """Load the network; without a file MONAI Label would answer with random weights."""
        file = self.get_path()
        if not file or not Path(file).is_file():
            weights = self.folder / "models" / "model.pt"
            raise CheckpointError(weights, "no such file", "Train the model, or start the server again with weights.")
        try:
            return super()._get_network(device, data)
        except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
            reason = f"does not fit the bundle's network ({str(error).splitlines()[0]})"
            raise CheckpointError(file, reason, "Restore the weights that came with the bundle.") from error

    def writer(self, data: Any, extension: Any = None, dtype: Any = None) -> tuple[str | None, dict[str, Any]]:
        """Write the mask in the image's format; NIfTI keeps the image's affine, which MONAI Label drops in 2D."""
        suffix = data.get("result_extension") or file_ext(str(data.get("image_path", "")))
        if suffix not in NIFTI:
            return super().writer(data, extension, dtype)  # type: ignore[no-any-return]
        mask = np.asarray(data["pred"])
        meta = data["image"].meta
        affine = meta["original_affine"] if "patch_index" not in meta else slice_affine(meta)
        with tempfile.NamedTemporaryFile(suffix=suffix, delete=False) as file:
            path = Path(file.name)
        write_nifti(path, mask.astype(np.uint8), affine)
        return str(path), {}


class ProbabilityTask(InferTask):
    """A bundle's inference that ends with probabilities (K, X, Y) at the network's size; for scores."""

    def __init__(self, path: str, conf: dict[str, str]) -> None:
        super().__init__(path, conf, skip_writer=True)

    def post_transforms(self, data: Any = None) -> Sequence[Callable[[Any], Any]]:
        """Return a sigmoid, and nothing that would round it away."""
        del data
        return [Activationsd(keys="pred", sigmoid=True)]


class TrainTask(BundleTrainTask):  # type: ignore[misc]
    """A bundle's training on submitted labels."""

    def __init__(self, path: str, conf: dict[str, str]) -> None:
        super().__init__(path, conf, load_strict=True)

    def _partition_datalist(self, datalist: Any, request: Any, shuffle: bool = False) -> tuple[Any, Any]:
        """Split the labelled images; refuse a split without training or validation images.

        Raises:
            DataError: fewer than two labels, or a ``val_split`` that leaves a part empty.
        """
        training, validation = super()._partition_datalist(datalist, request, shuffle)
        if not training or not validation:
            found = f"{len(datalist)} labelled images, split into {len(training)} and {len(validation or [])}"
            raise DataError("training", found, 'Submit at least two labels and use a "val_split" between 0 and 1.')
        return training, validation

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        """Validate every epoch: weights are kept on validation, and a short training must not end without any."""
        overrides["val_interval"] = 1
        return overrides


class BatchTask(BatchInferTask):  # type: ignore[misc]
    """MONAI Label's batch inference; it divides by the number of GPUs unless told that there are none."""

    def __init__(self, gpus: int) -> None:
        super().__init__()
        self.gpus = gpus

    def __call__(self, request: dict[str, Any], datastore: Any, infer: Any) -> Any:
        """Run a model on many images of the folder."""
        return super().__call__({"multi_gpu": self.gpus > 1, **request}, datastore, infer)
