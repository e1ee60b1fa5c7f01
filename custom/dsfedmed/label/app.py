# SPDX-License-Identifier: Apache-2.0
"""The MONAI Label app: every model, trainer, score and strategy that the served bundles give."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.exception import ImageNotFoundException, MONAILabelError, MONAILabelException
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.utils.others.generic import strtobool

from dsfedmed.errors import DataError
from dsfedmed.label.datastore import CheckedDatastore
from dsfedmed.label.scoring import Agreement, MostUncertain, Uncertainty
from dsfedmed.label.tasks import BatchTask, InferTask, ProbabilityTask, TrainTask
from dsfedmed.version import VERSION


class LabelApp(MONAILabelApp):  # type: ignore[misc]
    """Bundles below ``model/`` of the app folder, by name from ``--conf models a,b``."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        names = [name for name in conf.get("models", "").split(",") if name]
        self.folders = {name: str(Path(app_dir) / "model" / name) for name in names}
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="DSFedMed",
            description="Light networks of a DSFedMed federation. Research only. Not for clinical use.",
            version=VERSION,
        )

    def init_datastore(self) -> CheckedDatastore:
        """Return the image folder, with labels checked on arrival."""
        return CheckedDatastore(self.studies, lambda: self._infers)

    def init_infers(self) -> dict[str, BundleInferTask]:
        """Return one inference task a bundle."""
        return {name: InferTask(folder, self.conf) for name, folder in self.folders.items()}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Return one training task a bundle, unless ``--conf skip_trainers true``."""
        if strtobool(self.conf.get("skip_trainers", "false")):
            return {}
        return {name: TrainTask(folder, self.conf) for name, folder in self.folders.items()}

    def init_strategies(self) -> dict[str, Any]:
        """Return the ways to choose the next image."""
        return {"uncertain": MostUncertain(), "random": Random(), "first": First()}

    def init_scoring_methods(self) -> dict[str, Any]:
        """Return the scores, for the first model; a request may name another with ``model``."""
        tasks = {name: ProbabilityTask(folder, self.conf) for name, folder in self.folders.items()}
        return {"uncertainty": Uncertainty(tasks), "agreement": Agreement(self._infers)}

    def init_batch_infer(self) -> BatchTask:
        """Return MONAI Label's batch inference, which asks for GPUs only where there are some."""
        return BatchTask(torch.cuda.device_count())

    def infer(self, request: dict[str, Any], datastore: Any = None) -> Any:
        """Run a model on an image of the folder (by id) or on an upload.

        Raises:
            MONAILabelException: no such model or image.
            DataError: a path outside the image folder, or an image that cannot be read.
        """
        if request.get("model") not in self._infers:
            self._no_such("model", request.get("model"), list(self._infers))
        image = request.get("image")
        if isinstance(image, str):
            self._check_image(image, datastore or self.datastore())
        return super().infer(request, datastore)

    def bundle_path(self, model: str | None) -> Any:
        """Return a trainer's folder; MONAI Label asks before it starts a background task, so a wrong name ends here."""
        if model is not None and model not in self.folders:
            self._no_such("model", model, list(self.folders))
        return super().bundle_path(model)

    def _check_image(self, image: str, datastore: Any) -> None:
        path = Path(image)
        if not path.exists():
            if image not in datastore.list_images():
                raise ImageNotFoundException(f"There is no image '{image}'")
            return
        allowed = (Path(tempfile.gettempdir()).resolve(), Path(self.studies).resolve())
        if not any(path.resolve().is_relative_to(folder) for folder in allowed):
            raise DataError(image, "it lies outside the image folder", "Upload it, or put it into the folder.")

    @staticmethod
    def _no_such(what: str, name: object, known: list[str]) -> None:
        text = f"There is no {what} '{name}'. There are: {', '.join(known)}"
        raise MONAILabelException(MONAILabelError.INVALID_INPUT, text)
