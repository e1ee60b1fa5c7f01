# SPDX-License-Identifier: Apache-2.0
"""The synthetic-image generator: frozen diffusion base, ControlNet branch, mask sampler and checks."""

from dsfedmed.generator.audit import AuditResult, audit
from dsfedmed.generator.codec import LatentCodec, PixelUnshuffle
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.diffusion import build_base, build_branch, from_latent, to_latent
from dsfedmed.generator.fit import fit_base, fit_branch
from dsfedmed.generator.mask_sampler import DeformationConfig, deform_label_maps
from dsfedmed.generator.packing import pack_label_maps, unpack_label_maps
from dsfedmed.generator.quality import mask_contrast, usable
from dsfedmed.generator.sample import sample

__all__ = [
    "AuditResult",
    "DeformationConfig",
    "GeneratorConfig",
    "LatentCodec",
    "PixelUnshuffle",
    "audit",
    "build_base",
    "build_branch",
    "deform_label_maps",
    "fit_base",
    "fit_branch",
    "from_latent",
    "mask_contrast",
    "pack_label_maps",
    "sample",
    "to_latent",
    "unpack_label_maps",
    "usable",
]
