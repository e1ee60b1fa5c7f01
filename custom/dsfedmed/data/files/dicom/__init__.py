# SPDX-License-Identifier: Apache-2.0
"""DICOM: objects and series, what their numbers mean, pydicom of two versions."""
