# SPDX-License-Identifier: Apache-2.0
"""The report page: small pieces of HTML, one file per part of the page."""
