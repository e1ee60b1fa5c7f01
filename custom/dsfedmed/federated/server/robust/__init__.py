# SPDX-License-Identifier: Apache-2.0
"""What keeps bad updates out of the mean: held on disk, judged by their form, tried by the other sites."""
