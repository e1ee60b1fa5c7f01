# SPDX-License-Identifier: Apache-2.0
"""Large tensors that come up lie on the server's disk until their turn, whatever the number of sites.

NVFlare writes each arriving chunk to a temporary safetensors file (under ``TMPDIR``, which should be no memory disk)
and hands out placeholders; `dsfedmed.flare.codec.from_model` loads them one reply at a time. It works between
separate processes (POC, provisioned) and in the simulator. NVFlare's two functions are no formal interface of it, so
they are used here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from nvflare.app_common.utils.tensor_disk_offload_context import cleanup_tensor_disk_offload, setup_tensor_disk_offload


@contextmanager
def tensors_on_disk(engine: Any, enabled: bool, job_id: str) -> Iterator[bool]:
    """Let arriving tensors lie on disk within the block; yields whether NVFlare took the wish."""
    contexts = [(party, setup_tensor_disk_offload(party, enabled, job_id)) for party in _receivers(engine)]
    try:
        yield any(context.applied for _, context in contexts)
    finally:
        for party, context in contexts:
            cleanup_tensor_disk_offload(party, context)


def _receivers(engine: Any) -> list[Any]:
    """Return what owns the cells that tensors arrive at.

    In the simulator a job's messages arrive at a cell of the job's own, which the engine does not name: there NVFlare's
    switch alone is set at the wrong cell, and tensors come through memory all the same.
    """
    own = getattr(getattr(engine, "server", None), "job_cell", None)
    return [engine] if own is None else [engine, SimpleNamespace(run_manager=None, get_cell=lambda: own)]
