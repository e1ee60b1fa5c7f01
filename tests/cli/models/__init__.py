# SPDX-License-Identifier: Apache-2.0
"""Commands that use a finished model."""
