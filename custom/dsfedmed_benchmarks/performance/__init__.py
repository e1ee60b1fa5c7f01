# SPDX-License-Identifier: Apache-2.0
"""Performance benchmarks: one module each, with a ``run`` that returns a ``Benchmark``; ``perf NAME`` runs one.

``run`` takes one frozen dataclass of the module's own, or typed parameters: they become the command's arguments, and
the docstring's sentences on them its help.
"""

BENCHMARKS = {
    "distillation": "20 epochs of mutual distillation: ours against the authors' loop",
    "precision": "mutual distillation in float32 and bfloat16: seconds and Dice",
    "inference": "light networks against SAM ViT-B, per image",
    "sampling": "generated images per second, by sampler and steps",
    "samplers": "sampler steps against time and downstream Dice",
    "overhead": "wall time of a federation through NVFlare over the local transport",
    "memory": "server peak memory by number of sites",
    "wire": "bytes per site at the paper's scale",
    "int8_dice": "Dice lost to the number format of the wire",
    "reading": "reading PNG against a plain decode, per image and mask",
    "slides": "peak memory and time of reading very large pictures",
    "selection": "the released round: bounded mean of the sites' validation against the mean",
    "trials": "gate and trials against the plain mean: CPU time a round where every site is honest",
    "privacy": "what the privacy filters cost: Dice, bytes, time",
    "copies": "disguised copies of training images that the audit finds, and its false vetoes",
}
"""Names of the modules in this package that are benchmarks, and what each measures."""
