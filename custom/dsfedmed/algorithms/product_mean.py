# SPDX-License-Identifier: Apache-2.0
"""Federated averaging of low-rank updates in product space (pFedSAM, arXiv 2509.15638).

A layer's update is the product B A, so the mean that FedAvg means is  M = sum_k (n_k / n) B_k A_k.  The product of the
means of B and of A is another matrix: with one site (B, A) and another (-B, -A), which is the same update, the means
of the factors are zero while M is B A. Everything else is averaged as it is.

M of K sites has rank up to K r, and the sites go on at rank r: M is cut to its r largest singular values, and what is
lost is reported. That is FlexLoRA's aggregation (Bai et al., NeurIPS 2024, arXiv 2402.11505). FlexLoRA's factors are
the singular vectors themselves; here B A is M as well, but A stays as near to the mean of the sites' A as that allows:

    A = mean(A) P,   B = M A^+,   P projects onto M's r right singular vectors

A direction of M that no site has learned has no such vector; its place is taken by what mean(A) has beyond the others.
So sites that are all alike, or that have not moved B from 0, get back their own A and B; sites that differ get an A
that is shorter than theirs by how much they differ, and the B that belongs to it. A singular value of A is kept at
``LEAST`` of the sites' own or more, where their A cancel each other. An optimiser's moments, which sites may keep, are
those of the factors before: they fit as far as A and B are near to these.

A convolution's factors are matrices too: A (r, in * kh * kw) with the window, B (out, r) of 1 x 1.

Deviation: the paper states one weighted mean over all uploaded parameters and does not say how factors are averaged.
The plain reading, each factor for itself, is ``method.mean: factors`` (`dsfedmed.algorithms.aggregation.WeightedMean`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.errors import PayloadError

LARGEST_NORM = 1e9
"""Of a product; the entries of B are at most the root of it, which half precision can hold."""
LEAST, ROUNDING = 0.1, 1e-6
"""Of A's singular values to the sites' root mean square; of M's to its largest, below which it is none."""
DOWN, UP = ".lora_A.default.weight", ".lora_B.default.weight"


def low_rank_layers(names: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the layers that have both factors among the named tensors."""
    return tuple(name.removesuffix(DOWN) for name in names if name.endswith(DOWN) and name[: -len(DOWN)] + UP in names)


def factors_of(product: Tensor, near: Tensor, size: float) -> tuple[Tensor, Tensor, float]:
    """Return B (out, r), A (r, in) with B A the best approximation of ``product`` at rank r.

    Args:
        product: (out, in).
        near: (r, in), the mean of the sites' A, r at most min(out, in); A is near to it.
        size: root mean square of the singular values of the sites' A.

    Returns:
        B, A and the share of the product's Frobenius norm that is lost, 0 to 1.
    """
    rank = near.shape[0]
    left, values, right = torch.linalg.svd(product, full_matrices=False)
    learned = int((values[:rank] > ROUNDING * values[0]).sum())
    least = max(LEAST * size, float(values[0]) / LARGEST_NORM**0.5)
    if least == 0:  # every A is zero, and so is the product
        return torch.zeros_like(left[:, :rank]), near.to(product), 0.0
    basis = _rows_with(right[:learned], near.to(right))
    first, scale, second = torch.linalg.svd(near.to(right) @ basis.T)
    scale = scale.clamp(min=least)
    up = (left[:, :learned] * values[:learned]) @ (right[:learned] @ basis.T) @ (second.T / scale) @ first.T
    lost = float(values[rank:].norm()) / float(values.norm()) if learned else 0.0
    return up, (first * scale) @ second @ basis, lost


def _rows_with(span: Tensor, near: Tensor) -> Tensor:
    """Return r orthonormal rows that span ``span`` and, as far as there is room, most of ``near`` (r, in)."""
    beyond = torch.linalg.svd(near - near @ span.T @ span, full_matrices=False)[2]
    rows = torch.cat([span, beyond])[: near.shape[0]]
    columns: Tensor = torch.linalg.qr(rows.T)[0]
    return columns.T


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
        self._products, self._sizes = WeightedMean(), WeightedMean()
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
            sizes = {layer: moved[layer + DOWN].square().sum() for layer in self._layers}
            self._sizes.add(name, sizes, weight)
        self._differences.add(name, tensors, weight)

    def result(self) -> dict[str, Tensor]:
        """Return the differences to the common start."""
        mean = self._differences.result()
        products = self._products.result() if self._layers else {}
        sizes = self._sizes.result() if self._layers else {}
        lost: list[float] = []
        for layer, product in products.items():
            down, up = self._start[layer + DOWN], self._start[layer + UP]
            near = down + mean[layer + DOWN].double()
            size = (float(sizes[layer]) / len(down)) ** 0.5
            new_up, new_down, cut = factors_of(product.double(), near.flatten(1), size)
            lost.append(cut)
            mean[layer + DOWN] = (new_down.view_as(down) - down).float()
            mean[layer + UP] = (new_up.view_as(up) - up).float()
        if self._on_cut and lost:
            self._on_cut(max(lost))
        return mean
