# SPDX-License-Identifier: Apache-2.0
"""Promptless SAM, the teacher: the network, its sizes, and what official checkpoints need.

Bundles name `dsfedmed.networks.promptless_sam.build_promptless_sam`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsfedmed.late_names import late_names

if TYPE_CHECKING:
    from dsfedmed.networks.promptless_sam.network import (
        BUNDLE,
        PromptlessMaskDecoder,
        PromptlessSam,
        build_promptless_sam,
    )

__all__ = ["BUNDLE", "PromptlessMaskDecoder", "PromptlessSam", "build_promptless_sam"]

__getattr__ = late_names(__name__, dict.fromkeys(__all__, "network"))
