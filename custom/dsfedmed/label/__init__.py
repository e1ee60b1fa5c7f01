# SPDX-License-Identifier: Apache-2.0
"""MONAI Label with this project's bundles: a start command, an app that fails closed, and a page to look at masks.

``workspace``, ``command`` and ``measures`` need nothing of MONAI Label; the other modules are imported by MONAI Label
itself, in its own environment (requirements-label.txt).
"""
