# SPDX-License-Identifier: Apache-2.0
"""A bundle opened for prediction: checked first, then the four parts of ``configs/inference.json`` that make masks.

A bundle may come from elsewhere, and a MONAI configuration is code. So nothing of it is built before all of its files
were judged by the rules that sites apply to bundles (`dsfedmed.bundles.rules`): no code and no link in the folder, only
classes and functions of `dsfedmed.bundles.allowed_classes`, only plain expressions, no path out of the bundle. Weights
are read by ``torch.load(weights_only=True)``, which runs nothing, and have to be those of the bundle's network, all of
them and finite. Of the configuration only preprocessing, network, inferer and postprocessing are built; what it says of
folders, devices, handlers and where weights lie is not followed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from monai.transforms import AsDiscreted, Compose, SaveImaged
from torch import nn

from dsfedmed.bundles.components import Components
from dsfedmed.bundles.documents import INFERENCE, METADATA, check_documents
from dsfedmed.bundles.layout import layout_complaints
from dsfedmed.bundles.release import WEIGHTS
from dsfedmed.bundles.saving import SaveMasksd
from dsfedmed.bundles.transforms import ChannelsToLabeld
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.errors import CheckpointError, ConfigError
from dsfedmed.networks.checkpoints import load_weights
from dsfedmed.ranges import MOST_CHANNELS
from dsfedmed.store.files import file_sha256

RELEASE = "release"
NAME = re.compile(r"[^\W_](?!.*[A-Za-z_]\.[A-Za-z_])[^$@%/\\\x00-\x1f\x7f-\x9f]{0,39}")
"""A class's name that may stand in tables: plain text that begins with a letter or digit, so never a formula."""
Step = Callable[[dict[Any, Any]], dict[Any, Any]]


def find_release(path: Path) -> Path:
    """Return the bundle's folder: that of a run is its ``release``.

    Raises:
        ConfigError: there is no such folder, the run has no release yet, or it is neither run nor bundle.
    """
    if not path.is_dir():
        raise ConfigError(
            path, "there is no such folder", "Name a run's folder, its release, or a bundle with weights."
        )
    if (path / INFERENCE).is_file():
        return path
    if (path / RELEASE / INFERENCE).is_file():
        return path / RELEASE
    if (path / "record.json").is_file() or (path / "status.json").is_file():
        raise ConfigError(path, "the run has no release yet", "Start its command again and let it come to its end.")
    reason = f"it is no run and no release (there is no {INFERENCE} in it)"
    raise ConfigError(path, reason, "Name a run's folder, its release, or a bundle with weights.")


class SegmentationBundle:
    """A bundle that makes label maps, with its weights, on the CPU.

    Args:
        folder: the bundle.
        also_allowed: classes and functions that its reader accepts beyond `dsfedmed.bundles.allowed_classes`.

    Attributes:
        preprocessing: from {"image": ...} to the image at network size; its first step loads the image.
        network: images (N, C, S, S) -> logits (N, K, S, S), in evaluation mode.
        inferer: called with (images, network).
        postprocessing: the steps from logits to a label map, those that save or show left out.
        channels, num_classes, nested: C, K, and whether a higher label implies the lower ones.
        class_names: names of the K classes.

    Raises:
        ConfigError: the folder breaks the rules, lacks a part, or makes no label maps.
        CheckpointError: no weights, or those of another network.
    """

    def __init__(self, folder: Path, also_allowed: Collection[str] = ()) -> None:
        self.folder = folder
        for complaint in layout_complaints(folder):
            raise ConfigError(folder, complaint, "`dsfedmed check-bundle` lists all of it.")
        documents = check_documents(folder, also_allowed)
        if INFERENCE not in documents:
            raise ConfigError(folder, f"it has no {INFERENCE}", "Name a bundle that segments.")
        self._document, self._where = documents[INFERENCE], folder / INFERENCE
        self._components = Components(self._document, self._where)  # one: the inverse belongs to this preprocessing
        self.preprocessing: Compose = self._build("preprocessing")
        self.postprocessing = self._steps()
        self.inferer: Callable[..., Any] = self._build("inferer")
        self.channels, self.num_classes = self._number("in_channels", MOST_CHANNELS), self._number("num_classes", 254)
        self.nested = bool(self._build("nested"))
        self.class_names = _class_names(documents[METADATA], self.num_classes)
        self.network = self._network()

    @property
    def sha256(self) -> str:
        """Hash of what decides about masks: the configuration of inference, and the weights."""
        parts = (file_sha256(self.folder / name) for name in (INFERENCE, WEIGHTS))
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    def _build(self, key: str) -> Any:
        if key not in self._document:
            raise ConfigError(self._where, f"has no '{key}'", "Name a bundle that segments, such as a run's release.")
        return self._components.build(key)

    def _number(self, key: str, most: int) -> int:
        value = self._build(key)
        if type(value) is not int or not 1 <= value <= most:
            raise ConfigError(self._where, f"{key} is {str(value)[:40]}, not 1 to {most}", "Correct the bundle.")
        return value

    def _steps(self) -> tuple[Step, ...]:
        """Return the postprocessing up to the saving, once it is known to make a label map."""
        loads = isinstance(self.preprocessing, Compose) and self.preprocessing.transforms
        if not loads or not isinstance(self.preprocessing.transforms[0], LoadSiteImaged):
            raise ConfigError(self._where, "its preprocessing does not begin with LoadSiteImaged", _OTHER)
        made = self._build("postprocessing")
        steps = tuple(made.transforms) if isinstance(made, Compose) else (made,)
        ends = [place for place, step in enumerate(steps) if isinstance(step, SaveMasksd)]
        steps = steps[: ends[0]] if ends else steps
        kinds = [type(step) for step in steps]
        if AsDiscreted not in kinds or ChannelsToLabeld not in kinds:
            raise ConfigError(
                self._where, "its postprocessing makes no label map (AsDiscreted, ChannelsToLabeld)", _OTHER
            )
        for step in (*self.preprocessing.flatten().transforms, *Compose(steps).flatten().transforms):
            if isinstance(step, (SaveImaged, SaveMasksd)):
                reason = f"{type(step).__name__} stands where nothing is saved"
                raise ConfigError(self._where, reason, "Put the saving at the end of the postprocessing.")
        return steps

    def _network(self) -> nn.Module:
        weights = self.folder / WEIGHTS
        if not weights.is_file():
            fix = "Name a run's release, or train the bundle first."
            raise CheckpointError(self.folder, f"the bundle has no weights ({WEIGHTS})", fix)
        network: nn.Module = self._build("network_def")
        if not isinstance(network, nn.Module):
            raise ConfigError(self._where, f"'network_def' is a {type(network).__name__}, no network", _OTHER)
        load_weights(network, weights)
        return network.eval()


_OTHER = "Name a bundle that segments, such as a run's release."


def _class_names(metadata: Mapping[str, Any], num_classes: int) -> tuple[str, ...]:
    """Return the names that the metadata give; "class 2" where a name is missing or no plain text."""
    try:
        told = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        names = [str(told.get(str(k + 1), "")) for k in range(num_classes)]
    except (KeyError, TypeError, AttributeError):
        names = [""] * num_classes
    return tuple(name if NAME.fullmatch(name) else f"class {k + 1}" for k, name in enumerate(names))
