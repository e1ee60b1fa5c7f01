# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of dsfedmed: what it costs in time, memory and bytes, and tables of its methods over many runs.

This package is beside `dsfedmed` in a checkout but not in its wheel, and the product never imports it. Run it as
``python -m dsfedmed_benchmarks``, with ``custom`` on PYTHONPATH unless the checkout is installed as editable.
"""
