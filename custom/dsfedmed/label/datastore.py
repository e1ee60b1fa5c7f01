# SPDX-License-Identifier: Apache-2.0
"""The image folder: MONAI Label's local datastore, with labels checked before they are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.datastore.local import LocalDatastore

from dsfedmed.data.files.read import probe, read_raw
from dsfedmed.data.reading import observed_values
from dsfedmed.errors import DataError

Models = Callable[[], Mapping[str, Any]]


class CheckedDatastore(LocalDatastore):  # type: ignore[misc]
    """A folder of images with their labels.

    Args:
        folder: the images; labels go to ``labels/<tag>`` below it.
        models: returns the served models, whose ``labels`` say which values a mask may hold.
    """

    def __init__(self, folder: str, models: Models) -> None:
        self._models = models
        super().__init__(
            folder,
            extensions=settings.MONAI_LABEL_DATASTORE_FILE_EXT,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> Any:
        """Keep a label map of the image's size whose values some model knows.

        Raises:
            DataError: unreadable, of another size, or with a value that no model has a label for.
        """
        if image_id in self.list_images():
            self._check(image_id, Path(label_filename))
        return super().save_label(image_id, label_filename, label_tag, label_info)

    def _check(self, image_id: str, label: Path) -> None:
        known = {0, *(int(value) for model in self._models().values() for value in model.labels.values())}
        unknown = sorted(observed_values(read_raw(label, label=True), None) - known)
        if unknown:
            fix = f"Known values are {', '.join(str(value) for value in sorted(known))}."
            raise DataError(f"label of {image_id}", f"it holds the unknown label {unknown[0]}", fix)
        image, mask = probe(Path(self.get_image_uri(image_id))), probe(label)
        if (image.size, image.slices) != (mask.size, mask.slices):
            reason = f"it is {mask.size[0]} x {mask.size[1]}, the image {image.size[0]} x {image.size[1]}"
            raise DataError(f"label of {image_id}", reason, "Submit a mask of the image's own size.")
