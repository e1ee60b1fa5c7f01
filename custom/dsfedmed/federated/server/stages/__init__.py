# SPDX-License-Identifier: Apache-2.0
"""The server's stages, a file each; a workflow composes them."""
