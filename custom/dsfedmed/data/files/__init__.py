# SPDX-License-Identifier: Apache-2.0
"""Image and label files of every format that is read, each by its standard; `read` is the way in."""
