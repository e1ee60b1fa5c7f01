# SPDX-License-Identifier: Apache-2.0
"""The synthetic-image generator: frozen diffusion base, ControlNet branch, mask sampler and checks."""
