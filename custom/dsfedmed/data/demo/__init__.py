# SPDX-License-Identifier: Apache-2.0
"""Generated demo images: sites, public shapes."""
