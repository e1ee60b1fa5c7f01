# SPDX-License-Identifier: Apache-2.0
"""Start weights of a light network: its own file, or for TinySAM a checkpoint of TinySAM or MobileSAM."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from torch import nn

from dsfedmed.networks.checkpoints import KeyReport, load_state, read_state
from dsfedmed.networks.tiny_sam import TinySam
from dsfedmed.networks.tiny_sam.keys import from_reference, is_reference_state


def load_light_weights(network: nn.Module, path: Path | str, where: str = "light_weights") -> KeyReport:
    """Load a weights file into a light network, whole or not at all.

    A head for other classes keeps its start values, if the network names one, and a first layer for RGB is inflated to
    the network's channels, if it can do so; what a reference checkpoint of TinySAM
    has and nothing runs is reported as dropped.

    Args:
        network: any light network.
        path: safetensors or torch file; for a ``TinySam`` also ``mobile_sam.pt`` or ``tinysam.pth``.
        where: the setting that names the file, for the error.

    Raises:
        CheckpointError: no such file, not plain weights, of another network, or not finite. The network is unchanged.
    """
    state, name = read_state(path, where), f"{where}: {path}"
    left_out: tuple[str, ...] = ()
    if isinstance(network, TinySam) and is_reference_state(state):
        state, left_out = from_reference(state, network, name)
    report = load_state(network, state, name, allow_head_change=True, allow_channels=True)
    return replace(report, source=f"{where}: {Path(path).name}", dropped=report.dropped + left_out)


def start_from(network: nn.Module, path: str = "") -> KeyReport | None:
    """Load start weights where a path is given, and log what became of every key; for a bundle's ``initialize``.

    Raises:
        CheckpointError: as ``load_light_weights``.
    """
    if not path:
        return None
    report = load_light_weights(network, path, "start_weights")
    logging.getLogger(__name__).info(report.summary())
    return report
