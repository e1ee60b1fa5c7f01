# SPDX-License-Identifier: Apache-2.0
"""What images without labels teach in the methods of others that SAM-Fed is held against."""
