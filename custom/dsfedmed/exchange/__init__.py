# SPDX-License-Identifier: Apache-2.0
"""What crosses the wire: typed payloads, checks on arrival, compression and the byte ledger."""
