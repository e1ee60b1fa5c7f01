# SPDX-License-Identifier: Apache-2.0
"""Training loops that know nothing of NVFlare: teacher, light network, mutual distillation."""
