# SPDX-License-Identifier: Apache-2.0
"""The dsfedmed console command, one module per sub-command."""
