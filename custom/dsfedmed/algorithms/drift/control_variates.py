# SPDX-License-Identifier: Apache-2.0
"""SCAFFOLD (Karimireddy et al., ICML 2020, arXiv 1910.06378, algorithm 1): gradients corrected for the sites' drift.

Site k has a control variate c_k and the server c, the mean of all; both are zero at the start. In a round, from x:

    every local step      y <- y - eta_l (g(y) - c_k + c)
    then                  c_k' <- c_k - c + (x - y) / (K eta_l)                      (option II)
    server                x <- x + eta_g sum_k (n_k / n) (y_k - x),   c <- c + (1 / N) sum_{k in S} (c_k' - c_k)

For plain gradient descent x - y = eta_l sum (g - c_k + c), so that option II is the mean of the round's own gradients,
c_k' = (1 / K) sum g. This mean is what is taken here: it is the same there, and means something with momentum, Adam or
clipped steps, where (x - y) / (K eta_l) does not.

Deviations: x is averaged with n_k / n as in the FedAvg that it is compared with (the paper: 1 / |S|), eta_g = 1 (the
paper's own experiments).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.aggregation import WeightedMean

CONTROL = "control/"
"""Before a parameter's name, beside the weights: its control variate."""


def without_controls(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights alone."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(CONTROL)}


def zero_controls(network: nn.Module) -> dict[str, Tensor]:
    """Return a control variate of zeros for every parameter that is trained, under ``control/NAME``, on the CPU."""
    trained = ((name, p) for name, p in network.named_parameters() if p.requires_grad)
    return {CONTROL + name: torch.zeros(p.shape) for name, p in trained}


class Correction:
    """What the hooks of `corrected_gradients` have seen: the sum of the gradients as they came."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps: dict[str, int] = {}

    def own_controls(self, before: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return c_k', the mean gradient of the round, for the names of ``before``; what had none keeps its old one."""
        return {
            name: (self.sums[name] / self.steps[name]).cpu() if name in self.sums else tensor
            for name, tensor in before.items()
        }


@contextmanager
def corrected_gradients(
    network: nn.Module, own: Mapping[str, Tensor], common: Mapping[str, Tensor]
) -> Iterator[Correction]:
    """Within the block every gradient g of ``network`` becomes g - c_k + c before the optimiser sees it.

    Args:
        network: what is trained; its gradients must come as they are, not scaled for half precision.
        own: c_k under ``control/NAME``.
        common: c likewise.
    """
    seen = Correction()
    handles = []
    for name, parameter in network.named_parameters():
        key = CONTROL + name
        if key in common:
            shift = (common[key] - own[key]).to(parameter.device)
            handles.append(parameter.register_post_accumulate_grad_hook(_hook(seen, key, shift)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _hook(seen: Correction, key: str, shift: Tensor) -> Callable[[Tensor], None]:
    def correct(parameter: Tensor) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        known = seen.sums.get(key)
        seen.sums[key] = gradient.detach().clone() if known is None else known.add_(gradient.detach())
        seen.steps[key] = seen.steps.get(key, 0) + 1
        gradient.add_(shift)

    return correct


class ControlledMean(WeightedMean):
    """FedAvg's mean of the weights' differences beside SCAFFOLD's of the control variates'.

    Args:
        reference: names and shapes, weights and ``control/`` alike.
        sites: N, all sites of the federation, those that did not answer among them.
    """

    def __init__(self, reference: Mapping[str, Tensor] | None = None, sites: int = 1) -> None:
        super().__init__(reference)
        self._all_sites = sites
        self._controls: dict[str, Tensor] = {}

    def add(self, name: str, tensors: Mapping[str, Tensor], weight: float) -> None:
        """Add one site's differences, or refuse them as a whole."""
        super().add(name, tensors, weight)
        for key, tensor in tensors.items():
            if key.startswith(CONTROL):
                addend = tensor.detach().to("cpu", torch.float64)
                self._controls[key] = self._controls[key] + addend if key in self._controls else addend

    def result(self) -> dict[str, Tensor]:
        """Return the common difference: of the weights by n_k / n, of the control variates the sum over N."""
        common = super().result()
        return common | {key: (total / self._all_sites).float() for key, total in self._controls.items()}
