# SPDX-License-Identifier: Apache-2.0
"""Promptless SAM, the teacher: the network, its sizes, and what official checkpoints need.

Bundles name `dsfedmed.networks.promptless_sam.build_promptless_sam`.
"""

from dsfedmed.networks.promptless_sam.network import BUNDLE, PromptlessMaskDecoder, PromptlessSam, build_promptless_sam

__all__ = ["BUNDLE", "PromptlessMaskDecoder", "PromptlessSam", "build_promptless_sam"]
