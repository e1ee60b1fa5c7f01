# SPDX-License-Identifier: Apache-2.0
"""Sub-commands of ``python -m dsfedmed_benchmarks``, one module each with ``configure`` and ``run``."""
