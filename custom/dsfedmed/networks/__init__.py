# SPDX-License-Identifier: Apache-2.0
"""The networks of both scales, their checkpoints and the bundles that define them."""
