# SPDX-License-Identifier: Apache-2.0
"""What differential privacy of a branch costs in Dice."""
