# SPDX-License-Identifier: Apache-2.0
"""A second way to run a release: by MONAI alone, where dsfedmed is not installed."""
