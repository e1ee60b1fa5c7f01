# SPDX-License-Identifier: Apache-2.0
"""Version of the package, alone in its file so that packaging reads it without importing torch."""

VERSION = "0.4.0"
