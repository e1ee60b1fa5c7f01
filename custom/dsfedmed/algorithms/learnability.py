# SPDX-License-Identifier: Apache-2.0
"""The learnability score of a synthetic sample.

Source: DSFedMed, arXiv 2601.16073:  s_i = lambda * (-L_GT_i) + (1 - lambda) * L_KL_i,  lambda in [0, 1]

- L_GT_i (N,): the teacher's supervised loss on the sample's own mask; low where teacher and mask agree (reliable);
- L_KL_i (N,): symmetric KL of teacher and light network; high where they disagree (informative).

Deviation: the paper mixes the raw terms. BCE (0.1 to 0.5) and a pixel-mean KL (1e-3 to 1e-1) are not on one scale, so
lambda would have next to no effect; by default both terms are z-normalised over the whole pool first.
``normalise=False`` is the paper's equation. The released code has no such score (see ``batch_quantile.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsfedmed.errors import DSFedMedError
from dsfedmed.options import require


def learnability_score(
    supervised_loss: Tensor, disagreement: Tensor, lam: float = 0.5, normalise: bool = True
) -> Tensor:
    """Return s_i for every sample of the pool; higher is more learnable.

    Args:
        supervised_loss: (N,) the teacher's supervised losses.
        disagreement: (N,) symmetric KL of teacher and light network.
        lam: lambda, weight of reliability against informativeness, in [0, 1].
        normalise: z-normalise both terms over the N samples first (population standard deviation).

    Raises:
        ConfigError: ``lam`` outside [0, 1].
        DSFedMedError: a term is not finite, or the shapes differ.
    """
    require(0.0 <= lam <= 1.0, "lam", f"{lam} lies outside [0, 1]", "Give a weight from 0 to 1")
    check_terms(supervised_loss, disagreement)
    reliability, information = -supervised_loss, disagreement
    if normalise:
        reliability, information = z_normalise(reliability), z_normalise(information)
    return lam * reliability + (1.0 - lam) * information


def z_normalise(values: Tensor) -> Tensor:
    """Return (values - mean) / standard deviation, (N,); zeros where all values are equal."""
    deviation = values.std(correction=0)
    centred = values - values.mean()
    # Below this the spread is rounding noise of equal values, which must not be blown up to unit variance.
    floor = values.abs().max() * torch.finfo(values.dtype).eps * 4
    return centred / deviation if bool(deviation > floor) else torch.zeros_like(values)


def check_terms(*terms: Tensor) -> None:
    """Raise ``DSFedMedError`` unless all terms are (N,) with one N >= 1 and finite."""
    for term in terms:
        if term.ndim != 1 or term.numel() == 0 or term.shape != terms[0].shape:
            shapes = ", ".join(str(tuple(each.shape)) for each in terms)
            raise DSFedMedError("learnability score", f"terms of shapes {shapes}", "Give one value for each sample")
        bad = int((~torch.isfinite(term)).sum())
        if bad:
            fix = "Lower the learning rate, or look at the samples: a network has diverged"
            raise DSFedMedError("learnability score", f"{bad} of {term.numel()} values are not finite", fix)
