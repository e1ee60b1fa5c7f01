# SPDX-License-Identifier: Apache-2.0
"""Attacks on what leaves a hospital: on the branch, the synthetic set, the released network and an update.

The attacks are pure functions on tensors (`scores`, `likelihood`, `denoising`, `exposure`, `gradients`); `membership`,
`extraction`, `release` and `inversion` run them on a finished run and its sites and give one table each. What is fitted
on the way is kept below a work folder, so that a stopped command goes on. That folder holds weights that have seen
private images: it is for the machine that measures, and for nobody else.
"""
