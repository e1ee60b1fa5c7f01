# SPDX-License-Identifier: Apache-2.0
"""A site's own page: its images with the outlines of their masks, for the hospital alone."""
