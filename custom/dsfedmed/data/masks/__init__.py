# SPDX-License-Identifier: Apache-2.0
"""What the numbers and colours of a label file mean."""
