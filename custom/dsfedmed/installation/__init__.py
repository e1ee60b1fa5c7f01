# SPDX-License-Identifier: Apache-2.0
"""What the installation brought: folders that come with the package, and its extras."""
