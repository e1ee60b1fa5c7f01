# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed (arXiv 2511.14302): public labels, unlabelled own images, and the fusion of networks that differ."""
