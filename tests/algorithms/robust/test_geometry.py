# SPDX-License-Identifier: Apache-2.0
"""Inner products and distances, in parts as in one."""

from __future__ import annotations

import torch

from dsfedmed.algorithms.robust.geometry import gram_matrix, squared_distances

ROWS = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]])


def test_inner_products_by_hand_and_in_parts() -> None:
    assert gram_matrix([ROWS]).tolist() == [[25.0, 0.0], [0.0, 4.0]]
    assert gram_matrix(ROWS.split(1, dim=1)).tolist() == [[25.0, 0.0], [0.0, 4.0]]


def test_distances_by_hand() -> None:
    assert squared_distances(gram_matrix([ROWS])).tolist() == [[0.0, 29.0], [29.0, 0.0]]
