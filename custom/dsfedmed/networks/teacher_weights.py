# SPDX-License-Identifier: Apache-2.0
"""Weights of the promptless SAM in its bundle: what may be loaded, which parts learn, and what to do without a file."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from dsfedmed.errors import CheckpointError, ConfigError
from dsfedmed.networks.checkpoints import KeyReport, load_weights
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.networks.promptless_sam.official import LICENCE, OFFICIAL, SOURCE

TUNINGS = ("decoder", "full")


def load_teacher(network: PromptlessSam, path: Path | str, variant: str) -> KeyReport:
    """Load a bundle's weights, every key of them; for inference.

    Raises:
        CheckpointError: no such file (the text names the official one, its licence and the way on), or another network.
    """
    _require(path, variant)
    return load_weights(network, path, "promptless SAM")


def start_teacher(network: PromptlessSam, path: Path | str, variant: str) -> KeyReport | None:
    """Load start weights for training: the bundle's own, or an official checkpoint made for 1024 pixels.

    An official file has no class head; it keeps its start values. Position tables are resized to the image size.

    Args:
        network: target.
        path: weights file; empty for a random start.
        variant: "vit_b", ..., for the error's text.

    Raises:
        CheckpointError: as :func:`load_teacher`.
    """
    if not str(path):
        return None
    _require(path, variant)
    report = load_weights(
        network, path, "promptless SAM", allow_head_change=True, allow_resize=True, allow_channels=True
    )
    logging.getLogger(__name__).info(report.summary())
    return report


def tuned_parameters(network: PromptlessSam, tuning: str) -> list[nn.Parameter]:
    """Return the parameters that learn, and freeze the others.

    Args:
        network: the promptless SAM.
        tuning: "decoder" (the mask decoder alone, as the released distillation does) or "full".

    Raises:
        ConfigError: another word.
    """
    if tuning not in TUNINGS:
        raise ConfigError("tuning", f"'{tuning}' is not known", f"Choose one of {', '.join(TUNINGS)}.")
    learning = network.mask_decoder if tuning == "decoder" else network
    network.requires_grad_(False)
    learning.requires_grad_(True)
    network.prompt_encoder.requires_grad_(False)  # nothing of it is run but a constant
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _require(path: Path | str, variant: str) -> None:
    if Path(path).is_file():
        return
    entry = OFFICIAL.get(variant)
    if entry is None:
        fix = "Make one with `dsfedmed pretrain-teacher` and `dsfedmed prepare-teacher --own-weights`"
        raise CheckpointError(path, f"no such file; weights of the variant '{variant}' were expected", fix)
    raise CheckpointError(
        path,
        f"no such file; weights made from {entry.file_name} ({LICENCE}) were expected",
        f"Download {entry.file_name} from {SOURCE} and run `dsfedmed prepare-teacher --checkpoint {entry.file_name} "
        "--out BUNDLE`, or train from random weights with --start_weights ''",
    )
