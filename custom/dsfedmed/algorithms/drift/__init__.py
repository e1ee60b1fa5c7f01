# SPDX-License-Identifier: Apache-2.0
"""What holds a federation together whose sites pull apart: pure functions on tensors, and hooks on gradients."""
