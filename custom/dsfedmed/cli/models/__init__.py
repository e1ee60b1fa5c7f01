# SPDX-License-Identifier: Apache-2.0
"""Commands about networks and their bundles."""
