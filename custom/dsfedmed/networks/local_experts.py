# SPDX-License-Identifier: Apache-2.0
"""The local mixture of experts (L-MoE) of pFedSAM's personal branch (arXiv 2509.15638), between LoRA's A and B.

    h = W x + (alpha / r) B ( u + sum_{i in top-k} g_i E_i(u) ),   u = A x

u is a map (N, H, W, r). The figure of the paper shows a gate, sparse experts that up-sample, convolve and down-sample,
and a residual; that is Conv-LoRA (Zhong et al., ICLR 2024, arXiv 2401.17868), whose details are taken [inferred]:

    E_i(u) = down( GELU( conv3x3_{r -> r}( up_{x i}(u) ) ) ),  i = 1..M, bicubic
    gate   = mean(u) W_g  + in training  N(0, 1) * ( softplus(mean(u) W_n) + 0.01 ),  W_g and W_n zero at the start
    g      = softmax over the k largest;  with k = 1 that is one
    balance loss = CV^2(importance) + CV^2(load),  CV the ratio of deviation and mean over the experts

The gate's choice is per map; in a block with windowed attention a map is a window. Deviation from Conv-LoRA: the load
counts the chosen maps, without its smooth estimate, so that only the importance carries gradients.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional

from dsfedmed.networks.promptless_sam import PromptlessSam

NOISE_FLOOR = 1e-2
EXPERTS = ".experts."
"""Stands in the name of every parameter of the L-MoE, and of no other."""


class LocalExperts(nn.Module):
    """Sparse mixture of convolutions at several scales: (N, H, W, r) -> (N, H, W, r).

    Args:
        width: r.
        count: M experts; expert i works at i times the size.
        top_k: experts that are run for a map.
    """

    balance: Tensor
    """Balance loss of the last pass in training mode, a scalar."""

    def __init__(self, width: int, count: int = 4, top_k: int = 1) -> None:
        super().__init__()
        if not 1 <= top_k <= count:
            raise ValueError(f"top_k {top_k} lies outside 1..{count}")
        self.top_k = top_k
        self.experts = nn.ModuleList(nn.Conv2d(width, width, kernel_size=3, padding=1) for _ in range(count))
        self.gate = nn.Parameter(torch.zeros(width, count))
        self.noise = nn.Parameter(torch.zeros(width, count))
        self.balance = torch.zeros(())

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
        """Return each map's weights over the experts, (N, M), zero but for ``top_k`` of them."""
        means = means.float()
        logits = means @ self.gate
        if self.training:
            logits = logits + torch.randn_like(logits) * (functional.softplus(means @ self.noise) + NOISE_FLOOR)
        values, chosen = logits.topk(self.top_k, dim=1)
        weights = torch.zeros_like(logits).scatter(1, chosen, values.softmax(dim=1))
        if self.training:
            importance = torch.zeros_like(logits).scatter(1, chosen, logits.softmax(dim=1).gather(1, chosen))
            self.balance = squared_variation(importance.sum(0)) + squared_variation((weights > 0).float().sum(0))
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


def squared_variation(values: Tensor) -> Tensor:
    """Return the squared coefficient of variation of (M,), var / mean^2; zero when all are equal."""
    values = values.float()
    return values.var(unbiased=False) / (values.mean() ** 2 + 1e-10)


def personal_branch(shared: PromptlessSam, count: int, top_k: int, seed: int) -> PromptlessSam:
    """Return a branch of a site's own: LoRA and decoder copied, the frozen encoder shared, experts added.

    Args:
        shared: the global branch (`dsfedmed.networks.lora.add_lora`); it stays as it is.
        count: experts of each adapted linear layer; adapted convolutions have none.
        top_k: experts that are run for a map.
        seed: of the experts' start values; the global generator is left as it was.
    """
    frozen = {id(parameter): parameter for parameter in shared.parameters() if not parameter.requires_grad}
    own = copy.deepcopy(shared, cast(dict[int, object], dict(frozen)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in own.modules():
            if isinstance(module, LoraLayer) and isinstance(down := module.lora_A["default"], nn.Linear):
                module.lora_A["default"] = DownWithExperts(down, LocalExperts(down.out_features, count, top_k))
    return own


def balance_loss(network: nn.Module) -> Tensor:
    """Return the mean balance loss of the network's experts in their last training pass, a scalar."""
    found = [module.balance for module in network.modules() if isinstance(module, LocalExperts)]
    return torch.stack(found).mean() if found else torch.zeros(())
