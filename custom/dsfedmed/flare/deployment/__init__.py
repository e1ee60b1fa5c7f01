# SPDX-License-Identifier: Apache-2.0
"""Real processes: POC mode on one machine, and provisioned parties with their startup kits."""
