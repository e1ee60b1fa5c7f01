# SPDX-License-Identifier: Apache-2.0
"""The transport without NVFlare: every site in this process, or in one of its own."""
