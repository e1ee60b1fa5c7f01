# SPDX-License-Identifier: Apache-2.0
"""Scores of images, and the strategy that serves the most uncertain first.

MONAI Label's own scores do not fit: its entropy is taken over rounded labels, and its Dice multiplies label values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.label.measures import mean_dice, mean_entropy

KEY = "uncertainty"


class Uncertainty(ScoringMethod):  # type: ignore[misc]
    """Mean entropy of a model's probabilities, for every image without a final label; kept as image info."""

    def __init__(self, tasks: Mapping[str, Any]) -> None:
        super().__init__("Mean entropy of the predicted probabilities of unlabelled images, in bits")
        self.tasks = tasks

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, float]:
        """Return image id -> entropy; ``model`` in the request chooses the model."""
        task = _chosen(self.tasks, request)
        scores = {}
        for image in datastore.get_unlabeled_images():
            inputs = {"image": datastore.get_image_uri(image), "device": request.get("device", "cpu")}
            _, data = task(inputs)
            scores[image] = mean_entropy(data["pred"])
            datastore.update_image_info(image, {KEY: scores[image]})
        return scores


class Agreement(ScoringMethod):  # type: ignore[misc]
    """Dice of what a model predicts now against the submitted final label; kept as image info."""

    def __init__(self, tasks: Mapping[str, Any]) -> None:
        super().__init__("Mean Dice of the prediction against the submitted label")
        self.tasks = tasks

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, float]:
        """Return image id -> Dice; ``model`` in the request chooses the model."""
        task = _chosen(self.tasks, request)
        load = LoadSiteImaged(keys="label")
        nested = bool(task.bundle_config.get("nested", True))
        scores = {}
        for image in datastore.list_images():
            label = datastore.get_label_by_image_id(image, "final")
            if not label:
                continue
            submitted = load({"label": datastore.get_label_uri(label, "final")})["label"]
            file, _ = task({"image": datastore.get_image_uri(image), "device": request.get("device", "cpu")})
            predicted = load({"label": file})["label"]
            Path(file).unlink()
            scores[image] = mean_dice(predicted.as_tensor(), submitted.as_tensor(), len(task.labels), nested)
            datastore.update_image_info(image, {"agreement": scores[image]})
        return scores


class MostUncertain(Strategy):  # type: ignore[misc]
    """The image without a final label that scored the highest entropy; images not scored yet come first."""

    def __init__(self) -> None:
        super().__init__("The unlabelled image the model is least certain of (run the uncertainty score first)")

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any] | None:
        """Return {"id": image, "uncertainty": bits or None}, or None when every image is labelled."""
        del request  # nothing in it matters here
        known = {i: datastore.get_image_info(i).get(KEY) for i in datastore.get_unlabeled_images()}
        if not known:
            return None
        image = max(known, key=lambda i: float("inf") if known[i] is None else known[i])
        return {"id": image, KEY: known[image]}


def _chosen(tasks: Mapping[str, Any], request: Mapping[str, Any]) -> Any:
    name = request.get("model") or next(iter(tasks))
    if name not in tasks:
        known = ", ".join(tasks)
        raise MONAILabelException(MONAILabelError.INVALID_INPUT, f"There is no model '{name}'. There are: {known}")
    return tasks[name]
