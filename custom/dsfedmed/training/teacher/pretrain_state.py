# SPDX-License-Identifier: Apache-2.0
"""A pre-training between two steps, as plain tensors and numbers, so that an interrupted one goes on where it was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dsfedmed.exchange.tensors import under
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors

NETWORK, ADAM, DRAWS = "network/", "adam/", "draws"


@dataclass
class PretrainState:
    """What changes from step to step.

    Attributes:
        network: in training.
        optimizer: over its parameters.
        draws: source of samples and augmentation.
        step: steps done.
        loss: running mean of the loss; NaN before the first step.
        seconds: wall time so far, earlier parts of the run included.
    """

    network: PromptlessSam
    optimizer: torch.optim.Optimizer
    draws: torch.Generator
    step: int = 0
    loss: float = math.nan
    seconds: float = 0.0

    def info(self) -> dict[str, Any]:
        """Return the numbers."""
        return {"step": self.step, "loss": self.loss, "seconds": self.seconds}

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of weights, optimiser state and the state of the draws."""
        weights = {NETWORK + name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
        moments = {ADAM + name: value for name, value in optimizer_state_tensors(self.optimizer).items()}
        return weights | moments | {DRAWS: self.draws.get_state()}

    def restore(self, info: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go on from what ``info`` and ``tensors`` gave, to the last bit.

        Raises:
            CheckpointError: the optimiser's state is another network's.
        """
        self.network.load_state_dict(under(tensors, NETWORK))
        load_optimizer_state(self.optimizer, under(tensors, ADAM), "pre-training")
        self.draws.set_state(tensors[DRAWS])
        self.step, self.loss, self.seconds = int(info["step"]), float(info["loss"]), float(info["seconds"])
