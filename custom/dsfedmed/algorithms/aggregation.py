# SPDX-License-Identifier: Apache-2.0
"""Federated averaging of the light network, streaming.

Source: FedAvg as in DSFedMed, arXiv 2601.16073:  theta <- sum_k (n_k / n) theta_k,  n = sum_k n_k

n_k counts the training images with which a site trains. In SAM-Fed these are unlabelled, and the public ones,
which every site has alike, do not count.

One accumulator (float64 by default) holds sum_k n_k theta_k, so memory does not grow with the number of sites. An
update is validated as a whole before the first addition: a refused update leaves the accumulator as it was.

Deviation: the released code rounds the weights n_k / n to two decimals and gives the last site the rest; here they are
exact. It averages the whole state, batch-norm counters included; here every tensor must be floating point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn

import torch
from torch import Tensor

from dsfedmed.errors import PayloadError


class WeightedMean:
    """Weighted mean of named tensors that arrive one site at a time.

    Args:
        reference: tensors whose names and shapes every update must have; without it, the first update sets them.
        accumulate: dtype of the accumulator, float64 or float32.
    """

    def __init__(self, reference: Mapping[str, Tensor] | None = None, accumulate: torch.dtype = torch.float64) -> None:
        self._shapes = None if reference is None else {key: value.shape for key, value in reference.items()}
        self._accumulate = accumulate
        self._sums: dict[str, Tensor] = {}
        self._weight = 0.0
        self._names: list[str] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The sites that were added, in order."""
        return tuple(self._names)

    @property
    def weight(self) -> float:
        """The sum of the weights so far."""
        return self._weight

    def check(self, name: str, tensors: Mapping[str, Tensor], weight: float) -> None:
        """Raise ``PayloadError`` naming site and key if this update must be refused; changes nothing."""
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or weight <= 0:
            _refuse(name, f"its weight {weight} is not a positive finite number", "Send the number of training samples")
        if name in self._names:
            _refuse(name, "its update was already counted", "Send one update a round")
        self._check_keys(name, tensors)
        for key, tensor in tensors.items():
            shape = None if self._shapes is None else self._shapes[key]
            _check_tensor(name, key, tensor, shape)

    def add(self, name: str, tensors: Mapping[str, Tensor], weight: float) -> None:
        """Add one site's update.

        Args:
            name: the site, for errors and to count each site once.
            tensors: floating point, finite, named and shaped as the others.
            weight: n_k > 0, such as the number of training samples.

        Raises:
            PayloadError: the update is refused as a whole; the mean so far stands.
        """
        self.check(name, tensors, weight)
        if self._shapes is None:
            self._shapes = {key: value.shape for key, value in tensors.items()}
        for key, tensor in tensors.items():
            addend = tensor.detach().to("cpu", self._accumulate, copy=True).mul_(weight)
            if key in self._sums:
                self._sums[key].add_(addend)
            else:
                self._sums[key] = addend
        self._weight += float(weight)
        self._names.append(name)

    def result(self) -> dict[str, Tensor]:
        """Return the weighted mean: float32, contiguous, on the CPU.

        Raises:
            PayloadError: nothing was added.
        """
        if not self._names:
            _refuse("aggregation", "no update was added", "Wait for at least one valid site update")
        return {key: (total / self._weight).to(torch.float32) for key, total in self._sums.items()}

    def _check_keys(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        if not tensors:
            _refuse(name, "its update is empty", "Send every tensor that is trained")
        if self._shapes is None:
            return
        missing = sorted(self._shapes.keys() - tensors.keys())
        unexpected = sorted(tensors.keys() - self._shapes.keys())
        if missing or unexpected:
            reason = f"its update lacks {missing[:3]} and has unexpected {unexpected[:3]}"
            _refuse(name, reason, "Run the same network configuration at every site")


class UniformMean(WeightedMean):
    """The mean in which every site counts alike, 1 / K, whatever weight it comes with (LSSL)."""

    def add(self, name: str, tensors: Mapping[str, Tensor], weight: float) -> None:
        """Add one site's update; its weight is checked and then 1."""
        self.check(name, tensors, weight=weight)
        super().add(name, tensors, 1.0)


def _check_tensor(name: str, key: str, tensor: object, shape: torch.Size | None) -> None:
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        _refuse(name, f"{key} is {kind}, not a floating-point tensor", "Keep counters and buffers of integers at home")
    if shape is not None and tensor.shape != shape:
        reason = f"{key} has shape {tuple(tensor.shape)} instead of {tuple(shape)}"
        _refuse(name, reason, "Run the same network configuration at every site")
    # In float32, as the result is: a float64 beyond its range would turn infinite there.
    if not bool(torch.isfinite(tensor.to(torch.float32)).all()):
        _refuse(name, f"{key} has values that are not finite", "Lower the site's learning rate or look at its images")


def _refuse(name: str, reason: str, fix: str) -> NoReturn:
    raise PayloadError(name, reason, fix)
