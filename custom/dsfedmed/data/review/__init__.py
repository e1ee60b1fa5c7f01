# SPDX-License-Identifier: Apache-2.0
"""What a person should look at before a site takes part: copies, patients in two parts, images that stand out."""
