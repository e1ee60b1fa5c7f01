# SPDX-License-Identifier: Apache-2.0
"""The local mixture of experts (L-MoE) of pFedSAM's personal branch (arXiv 2509.15638), between LoRA's A and B.

    h = W x + (alpha / r) B ( u + sum_{i in top-k} g_i E_i(u) ),   u = A x

u is a map (N, H, W, r). The figure of the paper shows a gate, sparse experts that up-sample, convolve and down-sample,
and a residual; that is Conv-LoRA (Zhong et al., ICLR 2024, arXiv 2401.17868), whose details are taken [inferred]:

    E_i(u) = down( GELU( conv3x3_{r -> r}( up_{x i}(u) ) ) ),  i = 1..M, bicubic
    z      = mean(u) W_g + N(0, 1) * ( softplus(mean(u) W_n) + 0.01 ),  W_g and W_n zero at the start
    g_i    = softmax(z)_i for the k largest of z, 0 for the others
    importance_i = sum of g_i over the maps,  load_i = maps with g_i > 0
    balance loss = CV^2(importance) + CV^2(load),  CV the ratio of deviation and mean over the experts

In training a map has one draw of the noise, and k experts are run. In evaluation g is the mean of that over a fixed set
of draws, and every expert is run: the answer is what training's answers are in the mean, and the same every time.

The gate's choice is per map; in a block with windowed attention a map is a window. Deviations from Conv-LoRA's release:

- It leaves g out (``multiply_by_gates`` is off): at k = 1 the task's loss does not reach the gate. Here g counts,
  as in the Switch Transformer (Fedus et al. 2022, arXiv 2101.03961, eq. 2).
- It evaluates with the one largest of mean(u) W_g, which is one and the same expert for a gate that has not learned.
- Its load is a smooth estimate; here it is a count, so that only the importance carries gradients.
- Experts start at zero, not at random: a branch that gets them answers at first as it did without.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional

from dsfedmed.networks.promptless_sam import PromptlessSam

NOISE_FLOOR, DRAWS = 1e-2, 256
EXPERTS = ".experts."
"""Stands in the name of every parameter of the L-MoE, and of no other."""


class LocalExperts(nn.Module):
    """Sparse mixture of convolutions at several scales: (N, H, W, r) -> (N, H, W, r).

    Args:
        width: r.
        count: M experts; expert i works at i times the size.
        top_k: experts that are run for a map in training.
    """

    balance: Tensor
    """Balance loss of the last pass in training mode, a scalar."""
    draws: Tensor
    """Noise of the evaluation, (D, M); no part of the weights."""

    def __init__(self, width: int, count: int = 4, top_k: int = 1) -> None:
        super().__init__()
        if not 1 <= top_k <= count:
            raise ValueError(f"top_k {top_k} lies outside 1..{count}")
        self.top_k = top_k
        self.experts = nn.ModuleList(nn.Conv2d(width, width, kernel_size=3, padding=1) for _ in range(count))
        for parameter in self.experts.parameters():
            nn.init.zeros_(parameter)
        self.gate = nn.Parameter(torch.zeros(width, count))
        self.noise = nn.Parameter(torch.zeros(width, count))
        self.balance = torch.zeros(())
        self.register_buffer("draws", fixed_draws(count), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the weighted sum of the chosen experts' outputs."""
        weights = self._route(maps.mean(dim=(1, 2)))
        channels_first = maps.permute(0, 3, 1, 2)
        out = torch.zeros_like(channels_first)
        for index, expert in enumerate(self.experts):
            chosen = weights[:, index].nonzero().squeeze(1)
            if len(chosen):
                found = self._expert(channels_first[chosen], expert, index + 1)
                out = out.index_add(0, chosen, (weights[chosen, index].view(-1, 1, 1, 1) * found).to(out.dtype))
        return out.permute(0, 2, 3, 1)

    def _route(self, means: Tensor) -> Tensor:
        """Return each map's weights g over the experts, (N, M); in training zero but for ``top_k`` of them."""
        means = means.float()
        logits, deviation = means @ self.gate, functional.softplus(means @ self.noise) + NOISE_FLOOR
        if not self.training:
            drawn = logits[:, None] + self.draws * deviation[:, None]  # (N, D, M)
            return sparse_softmax(drawn, self.top_k).mean(dim=1)
        weights = sparse_softmax(logits + torch.randn_like(logits) * deviation, self.top_k)
        self.balance = squared_variation(weights.sum(0)) + squared_variation((weights > 0).float().sum(0))
        return weights

    @staticmethod
    def _expert(maps: Tensor, convolution: nn.Module, scale: int) -> Tensor:
        size = maps.shape[-2:]
        larger = maps
        if scale > 1:
            larger = functional.interpolate(maps, scale_factor=scale, mode="bicubic", align_corners=False)
        worked = functional.gelu(convolution(larger))
        if scale > 1:
            worked = functional.interpolate(worked, size=size, mode="bicubic", align_corners=False)
        return worked


class DownWithExperts(nn.Linear):
    """LoRA's A with the experts behind it; its own key in a state dict stays that of A."""

    def __init__(self, down: nn.Linear, experts: LocalExperts) -> None:
        super().__init__(down.in_features, down.out_features, bias=False)
        self.weight = down.weight
        self.experts = experts

    def forward(self, tokens: Tensor) -> Tensor:
        """Return u + experts(u) of tokens (N, H, W, C), u = A tokens."""
        low_rank = super().forward(tokens)
        return low_rank + cast(Tensor, self.experts(low_rank))


def sparse_softmax(logits: Tensor, top_k: int) -> Tensor:
    """Return the softmax over the last dimension, with all but its ``top_k`` largest entries set to 0."""
    weights = logits.softmax(dim=-1)
    values, chosen = weights.topk(top_k, dim=-1)
    return torch.zeros_like(weights).scatter(-1, chosen, values)


def fixed_draws(count: int) -> Tensor:
    """Return normal draws (D, M) that are the same everywhere, of mean 0 and variance 1.

    Each is there in M turns, so that no expert is preferred. What they give is within 3 to 5 % of the mean over all
    draws (of the largest weight, at noise of 0.7 and M of 2 to 8).
    """
    drawn = torch.randn(DRAWS, count, generator=torch.Generator().manual_seed(0), device="cpu")
    drawn = (drawn - drawn.mean()) / drawn.std()
    return torch.cat([drawn.roll(turn, dims=1) for turn in range(count)])


def squared_variation(values: Tensor) -> Tensor:
    """Return the squared coefficient of variation of (M,), var / mean^2; zero when all are equal."""
    values = values.float()
    return values.var(unbiased=False) / (values.mean() ** 2 + 1e-10)


def personal_branch(shared: PromptlessSam, count: int, top_k: int) -> PromptlessSam:
    """Return a branch of a site's own: LoRA and decoder copied, the frozen encoder shared, experts added.

    Until it learns it gives the very answers of ``shared``, in training as in evaluation: its experts add zero.

    Args:
        shared: the global branch (`dsfedmed.networks.lora.add_lora`); it stays as it is.
        count: experts of each adapted linear layer; adapted convolutions have none.
        top_k: experts that are run for a map in training.
    """
    frozen = {id(parameter): parameter for parameter in shared.parameters() if not parameter.requires_grad}
    own = copy.deepcopy(shared, cast(dict[int, object], dict(frozen)))
    with torch.random.fork_rng(devices=[]):  # convolutions draw before they are set to zero
        for module in own.modules():
            if isinstance(module, LoraLayer) and isinstance(down := module.lora_A["default"], nn.Linear):
                module.lora_A["default"] = DownWithExperts(down, LocalExperts(down.out_features, count, top_k))
    return own


def balance_loss(network: nn.Module) -> Tensor:
    """Return the mean balance loss of the network's experts in their last training pass, a scalar."""
    found = [module.balance for module in network.modules() if isinstance(module, LocalExperts)]
    return torch.stack(found).mean() if found else torch.zeros(())
