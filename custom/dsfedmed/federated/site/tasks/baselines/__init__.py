# SPDX-License-Identifier: Apache-2.0
"""A site's rounds of the methods that ours are held against."""
