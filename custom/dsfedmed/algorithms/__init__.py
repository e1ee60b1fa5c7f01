# SPDX-License-Identifier: Apache-2.0
"""Pure tensor mathematics of the method; imports torch only."""
