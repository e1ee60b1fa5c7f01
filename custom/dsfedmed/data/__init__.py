# SPDX-License-Identifier: Apache-2.0
"""Site folders: datalists, readers, checks, made-up sites and the synthetic-set store."""
