# SPDX-License-Identifier: Apache-2.0
"""Sites without data: they answer a server's tasks with random numbers of the right shapes."""

CLASS_PREFIX = "dsfedmed_benchmarks."
"""Of this package's NVFlare components, which a simulator's workspace must allow beside the product's."""
