# SPDX-License-Identifier: Apache-2.0
"""The synthetic-image generator: frozen foundation, ControlNet branch, mask sampler and checks."""

from dsfedmed.generator.audit import AuditResult, audit
from dsfedmed.generator.branch import branch_state, build_branch, load_branch_state
from dsfedmed.generator.codec import Autoencoder, LatentCodec, PixelUnshuffle
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.diffusion import build_base, embedded_foundation, from_latent, to_latent
from dsfedmed.generator.fit import fit_base, fit_branch
from dsfedmed.generator.foundation import Foundation, predict
from dsfedmed.generator.mask_sampler import DeformationConfig, deform_label_maps
from dsfedmed.generator.packing import pack_label_maps, unpack_label_maps
from dsfedmed.generator.quality import mask_contrast, usable
from dsfedmed.generator.sample import sample
from dsfedmed.generator.stable_diffusion import stable_diffusion_foundation

__all__ = [
    "AuditResult",
    "Autoencoder",
    "DeformationConfig",
    "Foundation",
    "GeneratorConfig",
    "LatentCodec",
    "PixelUnshuffle",
    "audit",
    "branch_state",
    "build_base",
    "build_branch",
    "deform_label_maps",
    "embedded_foundation",
    "fit_base",
    "fit_branch",
    "from_latent",
    "load_branch_state",
    "mask_contrast",
    "pack_label_maps",
    "predict",
    "sample",
    "stable_diffusion_foundation",
    "to_latent",
    "unpack_label_maps",
    "usable",
]
