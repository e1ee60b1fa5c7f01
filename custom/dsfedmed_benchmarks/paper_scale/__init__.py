# SPDX-License-Identifier: Apache-2.0
"""DSFedMed at the size of the paper with random weights: its parts, the shapes of what travels, every stage once."""
