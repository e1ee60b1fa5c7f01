# SPDX-License-Identifier: Apache-2.0
"""The teacher (promptless SAM): pre-training, and adaptation to labelled images."""
