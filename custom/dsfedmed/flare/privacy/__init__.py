# SPDX-License-Identifier: Apache-2.0
"""NVFlare filters that a hospital's own ``privacy.json`` can demand; no job can take them away."""
