# SPDX-License-Identifier: Apache-2.0
"""Sites without data: they answer a server's tasks with random numbers of the right shapes."""
