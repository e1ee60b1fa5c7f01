# SPDX-License-Identifier: Apache-2.0
"""Federated averaging of low-rank updates in product space (pFedSAM, arXiv 2509.15638).

A layer's update is the product B A, so the mean that FedAvg means is  M = sum_k (n_k / n) B_k A_k.  The product of the
means of B and of A is another matrix: with one site (B, A) and another (-B, -A), which is the same update, the means
of the factors are zero while M is B A. Everything else is averaged as it is.

M of K sites has rank up to K r, and the sites go on at rank r: M is cut to its r largest singular values, and what is
lost is reported. The new factors are turned so that A is nearest to the one before (orthogonal Procrustes): B A stays,
and an optimiser's moments keep their meaning.

A convolution's factors are matrices too: A (r, in * kh * kw) with the window, B (out, r) of 1 x 1.

Deviation: the paper states one weighted mean over all uploaded parameters and does not say how factors are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.errors import PayloadError

LARGEST_NORM = 1e9
"""Of a product; the entries of its factors are at most the root of it, which half precision can hold."""
DOWN, UP = ".lora_A.default.weight", ".lora_B.default.weight"


def low_rank_layers(names: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the layers that have both factors among the named tensors."""
    return tuple(name.removesuffix(DOWN) for name in names if name.endswith(DOWN) and name[: -len(DOWN)] + UP in names)


def factors_of(product: Tensor, rank: int, near: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return B (out, r), A (r, in) with B A the best approximation of ``product`` at rank r.

    Args:
        product: (out, in).
        rank: r, at most min(out, in).
        near: (r, in); of all orthogonal turns of the factors the one is taken whose A is nearest to it.

    Returns:
        B, A and the share of the product's Frobenius norm that is lost, 0 to 1.
    """
    left, values, right = torch.linalg.svd(product, full_matrices=False)
    root = values[:rank].sqrt()
    up, down = left[:, :rank] * root, root[:, None] * right[:rank]
    first, _, second = torch.linalg.svd(near.to(down) @ down.T)
    turn = first @ second
    norm = float(values.norm())
    lost = float(values[rank:].norm()) / norm if norm > 0 else 0.0
    return up @ turn.T, turn @ down, lost


class ProductMean:
    """`WeightedMean` of differences whose low-rank factors are averaged as products; one site in memory at a time.

    Args:
        weights: what every site started from; a layer's factors end in ``DOWN`` and ``UP``.
        on_cut: called with the largest share that the cut to rank r took from a layer, 0 to 1.
    """

    def __init__(self, weights: Mapping[str, Tensor], on_cut: Callable[[float], None] | None = None) -> None:
        self._start = {name: tensor.double() for name, tensor in weights.items()}
        self._layers = low_rank_layers(weights)
        self._factors = {layer + end for layer in self._layers for end in (DOWN, UP)}
        self._differences = WeightedMean(weights)  # checks every update whole, and averages what has no factors
        self._products = WeightedMean()
        self._on_cut = on_cut

    @property
    def names(self) -> tuple[str, ...]:
        """The sites that were added, in order."""
        return self._differences.names

    def add(self, name: str, tensors: Mapping[str, Tensor], weight: float) -> None:
        """Add one site's difference, as `WeightedMean.add`; a refused one changes nothing."""
        self._differences.check(name, tensors, weight)
        moved = {key: self._start[key] + tensors[key].double() for key in self._factors}
        if self._layers:
            products = {layer: moved[layer + UP].flatten(1) @ moved[layer + DOWN].flatten(1) for layer in self._layers}
            for layer, product in products.items():
                if not float(product.norm()) < LARGEST_NORM:
                    fix = "Lower the site's learning rate or look at its images"
                    raise PayloadError(name, f"{layer} has a product too large for its factors to be sent", fix)
            self._products.add(name, products, weight)
        self._differences.add(name, tensors, weight)

    def result(self) -> dict[str, Tensor]:
        """Return the differences to the common start."""
        mean = self._differences.result()
        products = self._products.result() if self._layers else {}
        lost: list[float] = []
        for layer, product in products.items():
            down, up = self._start[layer + DOWN], self._start[layer + UP]
            near = down + mean[layer + DOWN].double()
            new_up, new_down, cut = factors_of(product.double(), down.shape[0], near.flatten(1))
            lost.append(cut)
            mean[layer + DOWN] = (new_down.view_as(down) - down).float()
            mean[layer + UP] = (new_up.view_as(up) - up).float()
        if self._on_cut and lost:
            self._on_cut(max(lost))
        return mean
