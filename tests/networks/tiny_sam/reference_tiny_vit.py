# SPDX-License-Identifier: Apache-2.0
"""TinyViT-5M as MobileSAM and TinySAM publish it, re-stated from its equations over a plain state dict.

Only the names of the tensors are theirs. Nothing here uses timm or the package, so that a checkpoint made here and its
forward pass are an independent witness of the key mapping.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WIDTHS, DEPTHS, HEADS, WINDOWS = (64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7)
Shapes = dict[str, tuple[int, ...]]
State = dict[str, Tensor]


def shapes() -> Shapes:
    """Return name and shape of every tensor, without the prefix ``image_encoder.``."""
    found: Shapes = {**_conv("patch_embed.seq.0", 32, 3, 3), **_conv("patch_embed.seq.2", 64, 32, 3)}
    for layer, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        for block in range(depth):
            name = f"layers.{layer}.blocks.{block}"
            found |= _mobile(name) if layer == 0 else _block(name, width, HEADS[layer], WINDOWS[layer])
        if layer < 3:
            name, out = f"layers.{layer}.downsample", WIDTHS[layer + 1]
            found |= _conv(f"{name}.conv1", out, width, 1) | _conv(f"{name}.conv2", out, 1, 3)
            found |= _conv(f"{name}.conv3", out, out, 1)
    found |= {"neck.0.weight": (256, 320, 1, 1), "neck.2.weight": (256, 256, 3, 3)}
    found |= _norm("neck.1", 256) | _norm("neck.3", 256) | _norm("norm_head", 320)
    return found | {"head.weight": (1000, 320), "head.bias": (1000,)}


def random_state(seed: int) -> State:
    """Return random tensors in those shapes, of a size that keeps activations of order one."""
    random = torch.Generator().manual_seed(seed)
    return {name: _random(name, shape, random) for name, shape in shapes().items()}


def encode(state: State, images: Tensor) -> Tensor:
    """Return the embedding (N, 256, S / 16, S / 16) of images (N, 3, S, S) in evaluation mode."""
    x = functional.gelu(_convolve(state, "patch_embed.seq.0", images, stride=2, padding=1))
    x = _convolve(state, "patch_embed.seq.2", x, stride=2, padding=1)
    for layer, depth in enumerate(DEPTHS):
        for block in range(depth):
            name = f"layers.{layer}.blocks.{block}"
            x = _mobile_forward(state, name, x) if layer == 0 else _block_forward(state, name, x, layer)
        if layer < 3:
            name, stride = f"layers.{layer}.downsample", 1 if layer == 2 else 2
            x = functional.gelu(_convolve(state, f"{name}.conv1", x))
            x = functional.gelu(_convolve(state, f"{name}.conv2", x, stride=stride, padding=1, groups=x.shape[1]))
            x = _convolve(state, f"{name}.conv3", x)
    x = _norm_channels(state, "neck.1", functional.conv2d(x, state["neck.0.weight"]))
    return _norm_channels(state, "neck.3", functional.conv2d(x, state["neck.2.weight"], padding=1))


def _conv(name: str, out: int, into: int, side: int) -> Shapes:
    batch_norm = {f"{name}.bn.{part}": (out,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.c.weight": (out, into, side, side), **batch_norm, f"{name}.bn.num_batches_tracked": ()}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _mobile(name: str) -> Shapes:
    return _conv(f"{name}.conv1", 256, 64, 1) | _conv(f"{name}.conv2", 256, 1, 3) | _conv(f"{name}.conv3", 64, 256, 1)


def _block(name: str, width: int, heads: int, window: int) -> Shapes:
    attention = _norm(f"{name}.attn.norm", width) | _linear(f"{name}.attn.qkv", 3 * width, width)
    attention |= _linear(f"{name}.attn.proj", width, width)
    mlp = _norm(f"{name}.mlp.norm", width) | _linear(f"{name}.mlp.fc1", 4 * width, width)
    mlp |= _linear(f"{name}.mlp.fc2", width, 4 * width)
    biases: Shapes = {f"{name}.attn.attention_biases": (heads, window * window)}
    return biases | attention | mlp | _conv(f"{name}.local_conv", width, 1, 3)


def _random(name: str, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith("running_var"):
        return torch.rand(shape, generator=random) + 0.5
    noise = torch.randn(shape, generator=random)
    if len(shape) > 1 and "attention_biases" not in name:
        return noise / (shape[1] * (shape[2] * shape[3] if len(shape) == 4 else 1)) ** 0.5
    return 1 + 0.1 * noise if name.endswith(".weight") else 0.3 * noise


def _convolve(state: State, name: str, x: Tensor, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
    kernel = state[f"{name}.c.weight"]
    x = functional.conv2d(x, kernel, stride=stride, padding=padding, groups=len(kernel) if groups > 1 else 1)
    mean, variance, weight, bias = (
        state[f"{name}.bn.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def _mobile_forward(state: State, name: str, x: Tensor) -> Tensor:
    y = functional.gelu(_convolve(state, f"{name}.conv1", x))
    y = functional.gelu(_convolve(state, f"{name}.conv2", y, padding=1, groups=256))
    return functional.gelu(x + _convolve(state, f"{name}.conv3", y))


def _block_forward(state: State, name: str, x: Tensor, layer: int) -> Tensor:
    heads, side = HEADS[layer], WINDOWS[layer]
    batch, width, rows, columns = x.shape
    filled = functional.pad(x, (0, -columns % side, 0, -rows % side))
    whole = torch.zeros_like(filled)
    for top in range(0, filled.shape[2], side):
        for left in range(0, filled.shape[3], side):
            part = filled[:, :, top : top + side, left : left + side]
            tokens = _attend(state, f"{name}.attn", part.flatten(2).transpose(1, 2), heads, side)
            window = tokens.transpose(1, 2).reshape(batch, width, side, side)
            whole[:, :, top : top + side, left : left + side] = window
    x = x + whole[:, :, :rows, :columns]
    x = _convolve(state, f"{name}.local_conv", x, padding=1, groups=width)
    tokens = x.flatten(2).transpose(1, 2)
    hidden = functional.gelu(_apply(state, f"{name}.mlp.fc1", _normalise(state, f"{name}.mlp.norm", tokens)))
    tokens = tokens + _apply(state, f"{name}.mlp.fc2", hidden)
    return tokens.transpose(1, 2).reshape(batch, width, rows, columns)


def _attend(state: State, name: str, tokens: Tensor, heads: int, side: int) -> Tensor:
    batch, count, width = tokens.shape
    head = width // heads
    joint = _apply(state, f"{name}.qkv", _normalise(state, f"{name}.norm", tokens)).view(batch, count, heads, 3 * head)
    query, key, value = (joint[..., k * head : (k + 1) * head].permute(0, 2, 1, 3) for k in range(3))
    place = torch.arange(count)
    down = (place[:, None] // side - place[None] // side).abs()
    across = (place[:, None] % side - place[None] % side).abs()
    bias = state[f"{name}.attention_biases"][:, down * side + across]
    weights = (query @ key.transpose(2, 3) / head**0.5 + bias).softmax(-1)
    return _apply(state, f"{name}.proj", (weights @ value).permute(0, 2, 1, 3).reshape(batch, count, width))


def _apply(state: State, name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _normalise(state: State, name: str, x: Tensor) -> Tensor:
    spread = x.var(-1, keepdim=True, unbiased=False)
    return (x - x.mean(-1, keepdim=True)) / (spread + 1e-5).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def _norm_channels(state: State, name: str, x: Tensor) -> Tensor:
    spread = x.var(1, keepdim=True, unbiased=False)
    weight, bias = (state[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("weight", "bias"))
    return (x - x.mean(1, keepdim=True)) / (spread + 1e-6).sqrt() * weight + bias
