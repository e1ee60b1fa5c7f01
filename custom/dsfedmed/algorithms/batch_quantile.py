# SPDX-License-Identifier: Apache-2.0
"""The selection rule of the released DSFedMed code, inside one mini-batch.

Source: released code of DSFedMed, arXiv 2601.16073 (``train_fed_sam_kd_sam_sample_2.0.py``):

1. reliable: keep i iff l_T,i <= Q_0.7({l_T}) and l_S,i <= Q_0.7({l_S}); if none survives, keep all;
2. informative: rank by the mean-pixel KL sum of both directions, where samples that did not survive count as -1e9;
3. take the first k = min(max(int(0.5 B), 1), B).

Quirks, kept: if fewer than k survive, unreliable samples leak in through their ties at -1e9 (frequent at B = 8 or 10;
at B = 4 never), and at B = 2 the "keep all" fall-back is frequent. It differs from the paper, which scores the whole
pool, uses the teacher's loss only, and mixes by lambda. Deviation: ties go to the lower index, where ``torch.topk``
leaves their order open.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsfedmed.algorithms.learnability import check_terms
from dsfedmed.algorithms.selection import select_top
from dsfedmed.options import require

NOT_RELIABLE = -1e9


def select_batch_quantile(
    teacher_loss: Tensor, student_loss: Tensor, disagreement: Tensor, quantile: float = 0.7, rate: float = 0.5
) -> Tensor:
    """Return the indices (k,) of the batch's selected samples, most informative first.

    Args:
        teacher_loss: (B,) supervised losses of the teacher.
        student_loss: (B,) supervised losses of the light network.
        disagreement: (B,) sum of both KL directions, pixel mean.
        quantile: reliability quantile of either loss, linearly interpolated, in [0, 1].
        rate: share of the batch to take, in (0, 1].
    """
    check_terms(teacher_loss, student_loss, disagreement)
    require(0.0 <= quantile <= 1.0, "quantile", f"{quantile} lies outside [0, 1]", "Give a quantile from 0 to 1")
    reliable = teacher_loss <= torch.quantile(teacher_loss, quantile)
    reliable &= student_loss <= torch.quantile(student_loss, quantile)
    if not bool(reliable.any()):
        reliable = torch.ones_like(reliable)
    unreliable = torch.full_like(disagreement, NOT_RELIABLE)
    return select_top(torch.where(reliable, disagreement, unreliable), rate)
