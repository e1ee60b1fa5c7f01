# SPDX-License-Identifier: Apache-2.0
"""The synthetic-image generator: frozen generator base, ControlNet branch, mask sampler and checks."""

from dsfedmed.generator.audit import AuditResult, audit
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
from dsfedmed.generator.sample import sample

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
    "audit",
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
    "sample",
    "stable_diffusion_base",
    "to_latent",
    "unpack_label_maps",
    "usable",
]
