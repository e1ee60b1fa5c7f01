# SPDX-License-Identifier: Apache-2.0
"""What benchmarks measure with: clocks, memory of a process, and the table they give back."""
