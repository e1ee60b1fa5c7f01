# SPDX-License-Identifier: Apache-2.0
"""The mean of products against the product of means, by hand; the cut to rank r; refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.algorithms.product_mean import DOWN, UP, ProductMean, factors_of, low_rank_layers
from dsfedmed.errors import PayloadError

A, B = f"qkv{DOWN}", f"qkv{UP}"


def start(rank: int = 1, width: int = 3) -> dict[str, Tensor]:
    return {A: torch.zeros(rank, width), B: torch.zeros(width, rank), "head": torch.zeros(2)}


def product(weights: dict[str, Tensor]) -> Tensor:
    return weights[B] @ weights[A]


def test_the_mean_of_products_is_not_the_product_of_means() -> None:
    """Two sites hold the same update, one as (B, A) and one as (-B, -A): means of the factors would lose it."""
    down, up = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[3.0], [0.0], [1.0]])
    mean = ProductMean(start())
    mean.add("a", {A: down, B: up, "head": torch.tensor([1.0, 0.0])}, 1)
    mean.add("b", {A: -down, B: -up, "head": torch.tensor([0.0, 4.0])}, 3)
    found = mean.result()
    torch.testing.assert_close(product(found), up @ down)
    torch.testing.assert_close(found["head"], torch.tensor([0.25, 3.0]))
    apart = {A: (0.25 - 0.75) * down, B: (0.25 - 0.75) * up}
    torch.testing.assert_close(product(apart), 0.25 * product(found)), "averaged apart, three quarters would be gone"
    torch.testing.assert_close(found[A], apart[A]), "A is the mean's, and B makes up for it"


def test_weights_count_and_the_start_is_taken_into_account() -> None:
    """From B A = e1 e1^T: site a doubles B, site b leaves it; weights 1 and 3 give 1.25."""
    weights = {A: torch.tensor([[1.0, 0.0]]), B: torch.tensor([[1.0], [0.0]])}
    mean = ProductMean(weights)
    mean.add("a", {A: torch.zeros(1, 2), B: torch.tensor([[1.0], [0.0]])}, 1)
    mean.add("b", {A: torch.zeros(1, 2), B: torch.zeros(2, 1)}, 3)
    found = {name: weights[name] + tensor for name, tensor in mean.result().items()}
    torch.testing.assert_close(product(found), torch.tensor([[1.25, 0.0], [0.0, 0.0]]))
    assert mean.names == ("a", "b")


def test_what_the_rank_cuts_is_the_smallest_and_is_reported() -> None:
    """Two sites with orthogonal updates 4 e1 e1^T and 2 e2 e2^T: rank 1 keeps the first, and 1/sqrt(5) is lost."""
    cut: list[float] = []
    mean = ProductMean({A: torch.zeros(1, 3), B: torch.zeros(3, 1)}, cut.append)
    for name, axis, size in (("a", 0, 4.0), ("b", 1, 2.0)):
        down, up = torch.zeros(1, 3), torch.zeros(3, 1)
        down[0, axis], up[axis, 0] = 1.0, size
        mean.add(name, {A: down, B: up}, 1)
    found = mean.result()
    expected = torch.zeros(3, 3)
    expected[0, 0] = 2.0
    torch.testing.assert_close(product(found), expected)
    assert cut == [pytest.approx(1 / 5**0.5)]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rank=st.integers(1, 3))
def test_sites_that_are_alike_get_back_their_own_factors(seed: int, rank: int) -> None:
    random = torch.Generator().manual_seed(seed)
    update = {
        A: torch.linalg.qr(torch.randn(6, rank, generator=random))[0].T,
        B: torch.randn(5, rank, generator=random),
    }
    mean = ProductMean({A: torch.zeros(rank, 6), B: torch.zeros(5, rank)})
    for name in ("a", "b"):
        mean.add(name, update, 2)
    found = mean.result()
    for key in (A, B):
        torch.testing.assert_close(found[key], update[key], rtol=1e-4, atol=1e-4)


def test_where_no_site_has_moved_b_from_zero_nothing_dies() -> None:
    """The balanced factors of a zero product are both zero, from which neither ever learns again."""
    random = torch.Generator().manual_seed(0)
    weights = {A: torch.randn(2, 6, generator=random), B: torch.zeros(5, 2)}
    mean = ProductMean(weights)
    for name in ("a", "b"):
        mean.add(name, {key: torch.zeros_like(tensor) for key, tensor in weights.items()}, 1)
    found = mean.result()
    for key in (A, B):
        torch.testing.assert_close(weights[key] + found[key], weights[key])


def test_directions_that_are_not_learned_yet_stay() -> None:
    """B has learned one of three: M has rank 1, and A keeps its other two rows and their size."""
    random = torch.Generator().manual_seed(0)
    down = torch.linalg.qr(torch.randn(6, 3, generator=random))[0].T
    weights = {A: 0.5 * down, B: torch.zeros(5, 3)}
    update = {A: torch.zeros(3, 6), B: torch.zeros(5, 3)}
    update[B][:, 0] = torch.randn(5, generator=random)
    mean = ProductMean(weights)
    for name in ("a", "b"):
        mean.add(name, update, 1)
    found = {key: weights[key] + tensor for key, tensor in mean.result().items()}
    torch.testing.assert_close(torch.linalg.svdvals(found[A]), torch.full((3,), 0.5))
    torch.testing.assert_close(product(found), product({A: weights[A], B: update[B]}))


def test_sites_whose_a_cancel_keep_an_a_to_learn_from() -> None:
    """(B, A) and (-B, -A) count alike: the mean of A is 0. A tenth of the sites' size is left, and B A is theirs."""
    down, up = torch.tensor([[0.6, 0.8, 0.0]]), torch.tensor([[3.0], [0.0], [1.0]])
    mean = ProductMean({A: torch.zeros(1, 3), B: torch.zeros(3, 1)})
    mean.add("a", {A: down, B: up}, 1)
    mean.add("b", {A: -down, B: -up}, 1)
    found = mean.result()
    torch.testing.assert_close(product(found), up @ down)
    assert float(found[A].norm()) == pytest.approx(0.1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_is_the_nearest_that_gives_the_product(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    matrix, near = torch.randn(5, 6, generator=random), torch.randn(2, 6, generator=random)
    up, down, lost = factors_of(matrix, near, 1e-3)
    values = torch.linalg.svdvals(matrix)
    assert float((matrix - up @ down).norm()) == pytest.approx(float(values[2:].norm()), rel=1e-3)
    assert lost == pytest.approx(float(values[2:].norm() / values.norm()), rel=1e-4)
    other = (torch.eye(2) + 0.1 * torch.randn(2, 2, generator=random)) @ down  # the same rows, and so the same product
    assert float((other - near).norm()) >= float((down - near).norm()) - 1e-5


def test_over_rounds_sites_that_differ_come_nearer_to_their_mean_than_by_factors() -> None:
    """Three sites fit updates of rank 2 of their own, 20 steps a round: what is left to the mean of their updates."""
    random = torch.Generator().manual_seed(0)
    targets = [torch.randn(8, 2, generator=random) @ torch.randn(2, 10, generator=random) / 2 for _ in range(3)]
    start = {A: 0.3 * torch.randn(2, 10, generator=random), B: torch.zeros(8, 2)}

    def left(mean_of: Callable[[dict[str, Tensor]], ProductMean | WeightedMean]) -> float:
        weights = dict(start)
        for _ in range(8):
            mean = mean_of(weights)
            for site, target in enumerate(targets):
                down, up = weights[A], weights[B]
                for _ in range(20):
                    gap = up @ down - target
                    down, up = down - 0.05 * up.T @ gap, up - 0.05 * gap @ down.T
                mean.add(f"site {site}", {A: down - weights[A], B: up - weights[B]}, 1)
            weights = {key: weights[key] + tensor for key, tensor in mean.result().items()}
        return float((product(weights) - torch.stack(targets).mean(0)).norm())

    assert left(ProductMean) < 0.97 * left(WeightedMean)


def test_factors_of_a_convolution_are_averaged_as_the_matrices_they_are() -> None:
    """A 3 x 3 window and a 1 x 1 one: the mean is that of the same numbers laid out as matrices."""
    random = torch.Generator().manual_seed(0)
    flat, window = ProductMean({A: torch.zeros(2, 18), B: torch.zeros(4, 2)}), {A: (2, 2, 3, 3), B: (4, 2, 1, 1)}
    convolution = ProductMean({key: torch.zeros(shape) for key, shape in window.items()})
    for name, weight in (("a", 1), ("b", 3)):
        update = {A: torch.randn(2, 18, generator=random), B: torch.randn(4, 2, generator=random)}
        flat.add(name, update, weight)
        convolution.add(name, {key: tensor.view(window[key]) for key, tensor in update.items()}, weight)
    expected, found = flat.result(), convolution.result()
    for key in (A, B):
        assert found[key].shape == window[key]
        torch.testing.assert_close(found[key].flatten(1), expected[key])


def test_a_refused_update_changes_nothing() -> None:
    mean = ProductMean(start())
    good = {A: torch.ones(1, 3), B: torch.ones(3, 1), "head": torch.ones(2)}
    mean.add("a", good, 1)
    for bad in ({**good, A: torch.full((1, 3), float("nan"))}, {**good, B: torch.ones(2, 1)}, {"head": torch.ones(2)}):
        with pytest.raises(PayloadError, match="b"):
            mean.add("b", bad, 1)
    torch.testing.assert_close(product(mean.result()), torch.ones(3, 3))
    assert mean.names == ("a",)


def test_without_factors_it_is_the_plain_mean() -> None:
    mean = ProductMean({"head": torch.zeros(1)})
    mean.add("a", {"head": torch.tensor([2.0])}, 1)
    assert mean.result()["head"].tolist() == [2.0]
    assert low_rank_layers({A: torch.zeros(1), "other": torch.zeros(1)}) == (), "one factor alone is no layer"
