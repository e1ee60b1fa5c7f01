# SPDX-License-Identifier: Apache-2.0
"""From the run record to results.json, figures and one self-contained HTML report."""
