# SPDX-License-Identifier: Apache-2.0
"""Large tensors that come up lie on the server's disk until their turn, whatever the number of sites.

NVFlare writes each arriving chunk to a temporary safetensors file (under ``TMPDIR``, which should be no memory disk)
and hands out placeholders; `dsfedmed.federated.messages.from_model` loads them one reply at a time. It works between
separate processes (POC, provisioned); in NVFlare's simulator tensors come through memory all the same. The two
functions are no formal interface of NVFlare, so they are used here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nvflare.app_common.utils.tensor_disk_offload_context import cleanup_tensor_disk_offload, setup_tensor_disk_offload


@contextmanager
def tensors_on_disk(engine: Any, enabled: bool, job_id: str) -> Iterator[bool]:
    """Let arriving tensors lie on disk within the block; yields whether NVFlare took the wish."""
    context = setup_tensor_disk_offload(engine, enabled, job_id)
    try:
        yield bool(context.applied)
    finally:
        cleanup_tensor_disk_offload(engine, context)
