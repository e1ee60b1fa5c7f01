# SPDX-License-Identifier: Apache-2.0
"""Arms of training tuned with the same budget: their file, what they reached, table and picture."""
