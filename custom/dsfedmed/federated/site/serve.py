# SPDX-License-Identifier: Apache-2.0
"""Do a task whatever happens: the reply, or why there is none."""

from __future__ import annotations

import logging
import traceback

import torch

from dsfedmed.errors import DSFedMedError, one_line
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.message import Message, SiteError

LOGGER = logging.getLogger("dsfedmed.worker")


def answer(site: SiteContext, task: str, request: Message) -> Message | SiteError:
    """Do one task; an error is returned for the server to read, without file names."""
    try:
        return site.answer(task, request)
    except DSFedMedError as error:
        LOGGER.error("%s: %s", one_line(task[:60]), error)
        return site.public_error(error)
    except Exception as error:  # whatever a library raises is a failed task with a log, never a dead site
        traceback.print_exc()
        kind = "ran out of memory" if is_out_of_memory(error) else f"failed with {type(error).__name__}"
        return SiteError(site.name, f"{one_line(task[:60])} {kind}", "See worker.log at the site")


def is_out_of_memory(error: Exception) -> bool:
    """Tell an error that means that memory ran out, on the CPU or a GPU."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)
