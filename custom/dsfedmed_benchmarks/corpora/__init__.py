# SPDX-License-Identifier: Apache-2.0
"""Image files that installed packages bring, made by nobody here: how each is read, and pictures of them to look at."""
