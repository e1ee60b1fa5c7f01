# SPDX-License-Identifier: Apache-2.0
"""The synthetic-image generator: frozen generator base, ControlNet branch, mask sampler and checks.

Its networks are imported when they are asked for: a process that only passes messages on starts without diffusers.
The functions `audit` and `sample` are in the modules of their names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsfedmed.late_names import late_names

if TYPE_CHECKING:
    from dsfedmed.generator.audit import AuditResult
    from dsfedmed.generator.config import GeneratorConfig
    from dsfedmed.generator.fit import FitSteps, MaskedImages, fit_base, fit_branch
    from dsfedmed.generator.mask_sampler import DeformationConfig, deform_label_maps
    from dsfedmed.generator.networks.base import GeneratorBase, predict
    from dsfedmed.generator.networks.branch import branch_state, build_branch, load_branch_state
    from dsfedmed.generator.networks.codec import Autoencoder, LatentCodec, PixelUnshuffle
    from dsfedmed.generator.networks.embedded import build_base, embedded_base, from_latent, to_latent
    from dsfedmed.generator.networks.stable_diffusion import stable_diffusion_base
    from dsfedmed.generator.packing import pack_label_maps, unpack_label_maps
    from dsfedmed.generator.quality import mask_contrast, usable

__all__ = [
    "AuditResult",
    "Autoencoder",
    "DeformationConfig",
    "FitSteps",
    "GeneratorBase",
    "GeneratorConfig",
    "LatentCodec",
    "MaskedImages",
    "PixelUnshuffle",
    "branch_state",
    "build_base",
    "build_branch",
    "deform_label_maps",
    "embedded_base",
    "fit_base",
    "fit_branch",
    "from_latent",
    "load_branch_state",
    "mask_contrast",
    "pack_label_maps",
    "predict",
    "stable_diffusion_base",
    "to_latent",
    "unpack_label_maps",
    "usable",
]

__getattr__ = late_names(
    __name__,
    {
        "AuditResult": "audit",
        "Autoencoder": "networks.codec",
        "DeformationConfig": "mask_sampler",
        "FitSteps": "fit",
        "GeneratorBase": "networks.base",
        "GeneratorConfig": "config",
        "LatentCodec": "networks.codec",
        "MaskedImages": "fit",
        "PixelUnshuffle": "networks.codec",
        "branch_state": "networks.branch",
        "build_base": "networks.embedded",
        "build_branch": "networks.branch",
        "deform_label_maps": "mask_sampler",
        "embedded_base": "networks.embedded",
        "fit_base": "fit",
        "fit_branch": "fit",
        "from_latent": "networks.embedded",
        "load_branch_state": "networks.branch",
        "mask_contrast": "quality",
        "pack_label_maps": "packing",
        "predict": "networks.base",
        "stable_diffusion_base": "networks.stable_diffusion",
        "to_latent": "networks.embedded",
        "unpack_label_maps": "packing",
        "usable": "quality",
    },
)
