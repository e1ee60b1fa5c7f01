# SPDX-License-Identifier: Apache-2.0
"""NVFlare adapters: server workflows, site executor, streaming, progress."""
