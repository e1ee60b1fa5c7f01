# SPDX-License-Identifier: Apache-2.0
"""pFedSAM's options: which branch learns from which, what the server overwrites, and what is refused."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.losses import bernoulli_kl
from dsfedmed.errors import ConfigError
from dsfedmed.networks.local_experts import EXPERTS, LocalExperts, personal_branch
from dsfedmed.networks.lora import add_lora, is_lora
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam
from dsfedmed.training.distilled_loss import DistilledLoss
from dsfedmed.training.personal import global_phase, local_phase, sync_personal
from dsfedmed.training.personal_config import DIRECTIONS, PersonalConfig


@pytest.fixture
def branches() -> tuple[PromptlessSam, PromptlessSam]:
    shared = add_lora(build_promptless_sam("tiny", 32, 1), 2, 2.0)
    own = personal_branch(shared, 2, 1)
    with torch.no_grad():
        for parameter in shared.parameters():
            if parameter.requires_grad:
                parameter.add_(1.0)
    return shared, own


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_direction_decides_who_has_a_guide(direction: str, branches: tuple[PromptlessSam, PromptlessSam]) -> None:
    shared, own = branches
    config = PersonalConfig(direction=direction)  # type: ignore[arg-type]
    image, target = torch.rand(2, 1, 32, 32), torch.ones(2, 1, 32, 32)
    plain = lambda logits, target: (logits - target).square().mean()  # noqa: E731
    module, loss = global_phase(shared, own, plain, config)
    shared_guided = isinstance(module, DistilledLoss)
    assert shared_guided == (direction in ("both", "to_global"))
    module.eval()
    extra = float((loss(module(image), target) - plain(shared.eval()(image), target)).detach())
    assert (abs(extra) > 1e-6) == shared_guided
    module, loss = local_phase(shared, own, plain, PersonalConfig(direction=direction, balance_weight=0.0))  # type: ignore[arg-type]
    module.eval()
    extra = float((loss(module(image), target) - plain(own.eval()(image), target)).detach())
    assert (abs(extra) > 1e-6) == (direction in ("both", "to_personal"))


@pytest.mark.parametrize("phase", ["global", "local"])
def test_the_loss_of_a_phase_is_made_of_its_terms(phase: str, branches: tuple[PromptlessSam, PromptlessSam]) -> None:
    """A task loss of 0.25, 0.3 times the other branch's divergence at T = 2, and in phase L 0.1 times the balance 3."""
    shared, own = (branch.eval() for branch in branches)
    for module in own.modules():
        if isinstance(module, LocalExperts):
            module.balance = torch.tensor(3.0)
    config = PersonalConfig(kl_weight=0.3, temperature=2.0, balance_weight=0.1)
    image, target = torch.rand(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    plain = lambda logits, _: 0 * logits.mean() + 0.25  # noqa: E731
    module, loss = (global_phase if phase == "global" else local_phase)(shared, own, plain, config)
    module.eval()
    with torch.no_grad():
        found = float(loss(module(image), target))
        taught, teacher = (shared, own) if phase == "global" else (own, shared)
        expected = 0.25 + 0.3 * float(bernoulli_kl(teacher(image), taught(image), 2.0).mean())
    assert found == pytest.approx(expected + (0.1 * 3 if phase == "local" else 0), rel=1e-4)


@pytest.mark.parametrize("sync", ["none", "lora", "lora+decoder"])
def test_what_the_server_overwrites(sync: str, branches: tuple[PromptlessSam, PromptlessSam]) -> None:
    shared, own = branches
    before = {name: parameter.detach().clone() for name, parameter in own.named_parameters()}
    theirs = dict(shared.named_parameters())
    sync_personal(own, shared, sync)
    for name, parameter in own.named_parameters():
        taken = parameter.requires_grad and EXPERTS not in name
        taken &= sync == "lora+decoder" or (sync == "lora" and is_lora(name))
        assert torch.equal(parameter, theirs[name] if taken else before[name]), name


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"direction": "sideways"}, "sideways"),
        ({"top_k": 5}, "5 of 4 experts"),
        ({"temperature": 0.0}, "temperature"),
        ({"kl_weight": -1.0}, "kl_weight"),
        ({"personal_average": 1.0}, "1.0 is not in"),
        ({"warmup_rounds": -1}, "warmup_rounds"),
        ({"personal_learning_rate": -0.1}, "personal_learning_rate"),
        ({"expert": 3}, "experts"),
        ({"personal_sync": "all"}, "all"),
        ({"mean": "median"}, "median"),
    ],
)
def test_bad_options_are_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PersonalConfig.from_dict(values)
