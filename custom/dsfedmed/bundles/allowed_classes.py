# SPDX-License-Identifier: Apache-2.0
"""The classes and functions that a bundle's configuration may name, one by one.

What a party accepts beyond them stands in its own ``local/dsfedmed.yaml`` (``bundle_classes``). Prefixes would not do:
every module has what it imported as attributes, and ``torch.nn.functional.torch.os.system`` begins like a layer.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection
from functools import cache
from types import FunctionType

from dsfedmed.bundles.setting_values import shown
from dsfedmed.errors import ConfigError

ALLOWED = frozenset({
    "dsfedmed.algorithms.ignored_pixels.ValidPixelLoss", "dsfedmed.algorithms.losses.WeightedBce",
    "dsfedmed.bundles.saving.RequireWholeVolumes", "dsfedmed.bundles.saving.SaveMasksd",
    "dsfedmed.bundles.transforms.ChannelsToLabeld", "dsfedmed.bundles.transforms.ImageNames",
    "dsfedmed.bundles.transforms.LabelToChannelsd", "dsfedmed.bundles.transforms.LeaveOutIgnoredd",
    "dsfedmed.bundles.transforms.NameFromd",
    "dsfedmed.bundles.transforms.image_items", "dsfedmed.bundles.transforms.label_items",
    "dsfedmed.bundles.transforms.site_items", "dsfedmed.data.LoadSiteImaged", "dsfedmed.data.RandBezierIntensityd",
    "dsfedmed.data.RandInvertIntensityd", "dsfedmed.data.RandNonlinearIntensityd",
    "dsfedmed.generator.bundle.MaskToImage",
    "dsfedmed.networks.any_size.AnySizeFlexibleUNet", "dsfedmed.networks.any_size.AnySizeUNet",
    "dsfedmed.networks.checkpoints.load_weights", "dsfedmed.networks.light_weights.start_from",
    "dsfedmed.networks.personal_sam.build_personal_sam", "dsfedmed.networks.promptless_sam.build_promptless_sam",
    "dsfedmed.networks.self_assessed.SelfAssessedUNet",
    "dsfedmed.networks.teacher_weights.load_teacher", "dsfedmed.networks.teacher_weights.start_teacher",
    "dsfedmed.networks.teacher_weights.tuned_parameters", "dsfedmed.networks.tiny_sam.TinySam",
    "monai.data.CacheDataset", "monai.data.DataLoader", "monai.data.Dataset", "monai.engines.SupervisedEvaluator",
    "monai.engines.SupervisedTrainer", "monai.handlers.CheckpointLoader", "monai.handlers.CheckpointSaver",
    "monai.handlers.IgniteMetricHandler", "monai.handlers.MeanDice", "monai.handlers.MetricsSaver",
    "monai.handlers.StatsHandler", "monai.handlers.ValidationHandler", "monai.inferers.SimpleInferer",
    "monai.losses.DiceFocalLoss", "monai.losses.DiceLoss", "monai.metrics.DiceMetric", "monai.metrics.MeanIoU",
    "monai.networks.nets.FlexibleUNet", "monai.networks.nets.UNet", "monai.transforms.Activationsd",
    "monai.transforms.AsDiscreted", "monai.transforms.Compose", "monai.transforms.CopyItemsd",
    "monai.transforms.Invertd", "monai.transforms.RandAdjustContrastd", "monai.transforms.RandAffined",
    "monai.transforms.RandFlipd", "monai.transforms.RandGaussianNoised", "monai.transforms.RandGaussianSmoothd",
    "monai.transforms.RandHistogramShiftd", "monai.transforms.RandScaleIntensityd",
    "monai.transforms.RandShiftIntensityd",
    "monai.transforms.Resized", "monai.transforms.SaveImaged", "monai.transforms.ScaleIntensityRanged",
    "monai.transforms.SqueezeDimd", "torch.nn.BCEWithLogitsLoss", "torch.optim.Adam",
    "torch.optim.AdamW", "torch.optim.SGD",
})  # fmt: skip
EARLIER = ("monai.networks.nets.FlexibleUNet", "monai.networks.nets.UNet")
"""Of `ALLOWED`, what bundles released before images of any side name; the committed ones do not any more."""
MOVED = {"dsfedmed.networks.bundle_transforms.": "dsfedmed.bundles.transforms."}
"""Modules of older versions and where their classes are now."""
DOTTED = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
FIX = "Use a class of dsfedmed.bundles.allowed_classes, or have the party list it: `bundle_classes` in dsfedmed.yaml."


def require_allowed(name: object, path: str, where: object, also_allowed: Collection[str] = ()) -> None:
    """Refuse a target that is not on the list, or that is something else than what its name says.

    Args:
        name: the target.
        path: its configuration id, for the error.
        where: its file, for the error.
        also_allowed: what the party accepts beyond `ALLOWED`.

    Raises:
        ConfigError: naming ``where``, the id and the target.
    """
    if type(name) is str:
        old = next((old for old in MOVED if name.startswith(old)), None)
        if old is not None:
            new = MOVED[old] + name.removeprefix(old)
            raise ConfigError(where, f"{path} is '{name}', which has moved", f"Write {new} (dsfedmed 0.4).")
        if (name in ALLOWED or name in also_allowed) and is_what_it_says(name):
            return
        lacking = _lacking(name) if name in ALLOWED else None
        if lacking:
            reason = f"{path} is {name}, which needs {lacking}, and that is not installed"
            raise ConfigError(where, reason, "Install it with: pip install 'dsfedmed[all]'")
    raise ConfigError(where, f"{path} is {shown(name)}, which a bundle may not call", FIX)


def _lacking(name: str) -> str | None:
    """Return the library that an entry of ours is missing; None where it can be imported."""
    try:
        importlib.import_module(name.rpartition(".")[0])
    except ModuleNotFoundError as error:
        return error.name
    return None


@cache
def is_what_it_says(name: str) -> bool:
    """Whether ``name`` is a class or function that is defined under this very name.

    A class may be defined in a private module of the package that offers it (`monai.transforms.Compose` is in
    ``monai.transforms.compose``). What a module has only imported from elsewhere does not count.
    """
    module_name, _, last = name.rpartition(".")
    if not DOTTED.fullmatch(name):
        return False
    try:
        found = getattr(importlib.import_module(module_name), last, None)
    except ImportError:
        return False
    if not isinstance(found, (type, FunctionType)) or found.__qualname__ != last:
        return False
    return found.__module__ == module_name or found.__module__.startswith(f"{module_name}.")
