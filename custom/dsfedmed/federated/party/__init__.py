# SPDX-License-Identifier: Apache-2.0
"""What every party of a federation, server or site, has of its own: paths, device, generator base."""
