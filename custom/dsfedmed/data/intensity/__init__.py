# SPDX-License-Identifier: Apache-2.0
"""Random changes of grey values and colours, as transforms that a bundle may name."""
