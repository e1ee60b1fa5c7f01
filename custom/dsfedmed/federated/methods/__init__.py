# SPDX-License-Identifier: Apache-2.0
"""One workflow a file."""
