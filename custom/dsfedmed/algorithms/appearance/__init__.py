# SPDX-License-Identifier: Apache-2.0
"""What an image might look like elsewhere: pure functions on tensors of grey values or colours."""
