# SPDX-License-Identifier: Apache-2.0
"""Studies: tables over many runs, the runs they are made of, and the archive of their records."""
