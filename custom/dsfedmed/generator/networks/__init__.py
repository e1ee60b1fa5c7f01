# SPDX-License-Identifier: Apache-2.0
"""What a generator is made of: the frozen base (embedded, or a Stable Diffusion folder), its codec, and the branch."""
