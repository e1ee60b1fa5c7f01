# SPDX-License-Identifier: Apache-2.0
"""A tiny stand-in for the promptless SAM, a tiny light network, and images of bright squares."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 16


class TinyTeacher(nn.Module):
    """The interface of PromptlessSam: embeddings at a quarter, logits at half of the image's size."""

    def __init__(self, channels: int = 1, num_classes: int = 1) -> None:
        super().__init__()
        self.image_encoder = nn.Sequential(nn.Conv2d(channels, 12, 4, stride=4), nn.ReLU(), nn.Conv2d(12, 12, 1))
        self.mask_decoder = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(12, num_classes, 2, stride=2))
        self.encoded = 0
        self.decoded = 0

    def encode(self, images: Tensor) -> Tensor:
        self.encoded += len(images)
        return self.image_encoder(images)

    def decode(self, embeddings: Tensor) -> Tensor:
        self.decoded += len(embeddings)
        return self.mask_decoder(embeddings)

    def forward(self, images: Tensor) -> Tensor:
        low = self.decode(self.encode(images))
        return functional.interpolate(low, size=images.shape[-2:], mode="bilinear", align_corners=False)


class TinyLight(nn.Module):
    def __init__(self, channels: int = 1, num_classes: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(8, num_classes, 3, padding=1)
        )
        self.seen_with_gradient = 0

    def forward(self, images: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.seen_with_gradient += len(images)
        return self.layers(images)


def squares(count: int, seed: int = 0, num_classes: int = 1) -> tuple[Tensor, Tensor]:
    """Return images with one bright square each, and its label map; with two classes its middle is labelled 2."""
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, SIZE, SIZE, generator=random) * 0.3
    labels = torch.zeros(count, 1, SIZE, SIZE, dtype=torch.uint8)
    for index in range(count):
        x, y = torch.randint(1, 8, (2,), generator=random).tolist()
        images[index, :, x : x + 6, y : y + 6] += 0.6
        labels[index, :, x : x + 6, y : y + 6] = 1
        if num_classes > 1:
            labels[index, :, x + 2 : x + 4, y + 2 : y + 4] = 2
    return images, labels
