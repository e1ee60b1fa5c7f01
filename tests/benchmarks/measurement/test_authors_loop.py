# SPDX-License-Identifier: Apache-2.0
"""The authors' loop against ours: the same mathematics."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.algorithms.batch_quantile import select_batch_quantile
from dsfedmed.algorithms.distillation import DistillationConfig
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.seeds import generator
from dsfedmed.training.distillation.config import ServerDistillationConfig
from dsfedmed.training.distillation.mutual import MutualDistiller
from dsfedmed_benchmarks.measurement.authors_loop import AuthorsLoop, authors_selection
from dsfedmed_benchmarks.performance.distillation import SCALES, light_network, random_pool

BUNDLES = Path(__file__).parents[3] / "bundles"
POOL = random_pool(4, 32, 1, seed=3)


class ExactEmbeddings:
    """The encoder's output in float32, where the cache has fp16."""

    def __init__(self, teacher: torch.nn.Module) -> None:
        with torch.no_grad():
            self.values = teacher.encode(POOL.images([0, 1, 2, 3]))

    def __len__(self) -> int:
        return 4

    def read(self, indices: list[int], device: object = "cpu") -> torch.Tensor:
        return self.values[indices]


def networks() -> tuple[torch.nn.Module, torch.nn.Module]:
    light = light_network(BUNDLES / "light_unet_segmentation", SCALES["tiny"], seed=1)
    return build_promptless_sam("tiny", 32, 1, seed=0), light


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10), st.integers(0, 10_000))
def test_the_restated_selection_is_the_batch_quantile_rule(size: int, seed: int) -> None:
    terms = torch.rand(3, size, generator=generator(seed))
    ours = select_batch_quantile(*terms)
    restated = authors_selection(*terms)
    reliable = (terms[0] <= terms[0].quantile(0.7)) & (terms[1] <= terms[1].quantile(0.7))
    if 0 < int(reliable.sum()) < len(ours):  # the rest are ties at -1e9, whose order topk leaves open
        assert set(restated.tolist()) & set(reliable.nonzero().flatten().tolist()) <= set(ours.tolist())
        assert len(restated) == len(ours)
    else:
        assert restated.tolist() == ours.tolist()


def test_both_ways_take_the_same_steps_on_exact_embeddings_and_one_selection() -> None:
    teacher, light = networks()
    theirs = AuthorsLoop(copy.deepcopy(teacher), copy.deepcopy(light), POOL, 1, batch_size=4)
    config = DistillationConfig(rule="batch_quantile")
    server = ServerDistillationConfig(batch_size=4)
    ours = MutualDistiller(teacher, light, POOL, ExactEmbeddings(teacher), 1, True, config, server)
    order = torch.randperm(4, generator=generator(0)).tolist()
    theirs.step(order)
    ours.teacher.train()
    ours.light.train()
    ours._step(order)
    for one, two in ((theirs.teacher, ours.teacher), (theirs.light, ours.light)):
        left, right = gradients(one), gradients(two)
        assert left.keys() == right.keys() != set()
        largest = max(float(value.abs().max()) for value in right.values())
        assert largest > 1e-3
        for name, value in left.items():
            torch.testing.assert_close(value, right[name], atol=1e-5 * largest, rtol=1e-4, msg=name)


def gradients(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.grad for name, value in network.named_parameters() if value.grad is not None}


def test_the_released_loop_learns_its_pool_and_leaves_the_encoder() -> None:
    teacher, light = networks()
    before = copy.deepcopy(teacher.image_encoder.state_dict())
    loop = AuthorsLoop(teacher, light, POOL, 1, batch_size=4, learning_rate=1e-2)
    losses = [loop.epoch(generator(epoch))[0] for epoch in range(25)]
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(before[name], value) for name, value in teacher.image_encoder.state_dict().items())
