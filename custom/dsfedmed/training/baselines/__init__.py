# SPDX-License-Identifier: Apache-2.0
"""Training of the methods that ours are held against."""
