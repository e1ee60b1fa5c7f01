# SPDX-License-Identifier: Apache-2.0
"""Images whose low frequencies take on amplitudes of another site's: FedDG's continuous frequency space.

Source: Liu et al., FedDG: Federated Domain Generalization on Medical Image Segmentation via Episodic Learning in
Continuous Frequency Space, CVPR 2021, arXiv 2103.06030 (section 3.2). With A and P amplitude and phase of an image's
Fourier transform, A_j those of an image of another site, and lambda uniform in [0, 1], for every frequency of at most
b in both directions:

    A <- (1 - lambda) A + lambda A_j            x' = F^-1(A, P)            b = floor(L S) at S pixels

Phases, which carry where things are, stay, and so do higher frequencies. Amplitudes are divided by S^2, so that those
of images in [0, 1] are in [0, 1]; only the (2 b + 1)^2 that are used travel, where the paper shares whole spectra. x'
is cut off to [0, 1].

Deviations: the exchange alone. The paper trains in episodes (a step on the image is to help on its exchanged
versions) with a contrast around the border of the mask; that is left out. The loader for fundus images in the
authors' release replaces the zero frequency alone (L = 0) by the donor's, without interpolation, which shifts the
brightness; here L is 0.1 unless set, and 0 interpolates the brightness.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

DIMS = (-2, -1)


def reach(band: float, size: int) -> int:
    """Return b for L = ``band``, from 0 to below 1/2, at ``size`` pixels."""
    return min(math.floor(band * size), (size - 1) // 2)


def low_amplitudes(images: Tensor, b: int) -> Tensor:
    """Return the amplitudes of images (N, C, S, S) in [0, 1] up to frequency b: (N, C, 2 b + 1, 2 b + 1) in [0, 1].

    The zero frequency, an image's mean, is in the middle.
    """
    spectrum: Tensor = torch.fft.fftshift(torch.fft.fft2(images), dim=DIMS).abs() / images[0, 0].numel()
    return spectrum[..., _middle(images.shape[-2], b), _middle(images.shape[-1], b)].clamp(0, 1).contiguous()


def with_amplitudes(image: Tensor, donor: Tensor, share: float) -> Tensor:
    """Return an image (C, S, S) in [0, 1] whose low amplitudes lie by ``share``, 0 to 1, on the way to the donor's.

    Args:
        image: floating point.
        donor: what `low_amplitudes` gives of another image of the same size, (C, 2 b + 1, 2 b + 1).
        share: lambda.
    """
    spectrum = torch.fft.fftshift(torch.fft.fft2(image), dim=DIMS)
    amplitude, phase = spectrum.abs(), spectrum.angle()
    b = donor.shape[-1] // 2
    rows, columns = _middle(image.shape[-2], b), _middle(image.shape[-1], b)
    wanted = donor.to(image.dtype) * image[0].numel()
    amplitude[..., rows, columns] += share * (wanted - amplitude[..., rows, columns])
    found: Tensor = torch.fft.ifft2(torch.fft.ifftshift(torch.polar(amplitude, phase), dim=DIMS)).real
    return found.clamp(0, 1)


def _middle(size: int, b: int) -> slice:
    return slice(size // 2 - b, size // 2 + b + 1)
