# SPDX-License-Identifier: Apache-2.0
"""The federation without NVFlare: what crosses the wire, the server, the site, the methods, a local transport."""
