# SPDX-License-Identifier: Apache-2.0
"""From the teacher's size, as requests state it, to the network: the same at the server and at every site."""

from __future__ import annotations

from dsfedmed.federated.wire.specs import TeacherSpec
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam


def build_teacher(spec: TeacherSpec, seed: int) -> PromptlessSam:
    """Build the teacher with random weights of ``seed``."""
    size, classes = spec.image_size, spec.num_classes
    return build_promptless_sam(
        spec.variant, size, classes, in_channels=spec.channels, normalise=spec.normalise, seed=seed
    )
