# SPDX-License-Identifier: Apache-2.0
"""The tutorial notebooks of docs/tutorials: run without Jupyter, and shown as pages of the documents."""
