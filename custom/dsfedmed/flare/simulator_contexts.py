# SPDX-License-Identifier: Apache-2.0
"""Let every site of a simulation start under its own name.

NVFlare 2.9's simulator starts the sites from one thread each, and each thread writes its site's name into one shared
dictionary just before it sends that dictionary to the site's process. When two threads meet there, two processes
start under the same name and the other site never joins: the run then waits for an answer that cannot come. On a busy
machine this was seen once in some hundred runs.
"""

from __future__ import annotations

import copy
import sys
from functools import wraps
from typing import Any

SIMULATOR = "nvflare.private.fed.app.simulator.simulator_runner"


def separate_contexts() -> bool:
    """Give each thread of a simulator in this process a dictionary of its own; without a simulator do nothing.

    A workflow calls it when NVFlare builds it, which is before the simulator starts its sites.

    Returns:
        Whether a simulator is there.
    """
    module = sys.modules.get(SIMULATOR)
    if module is None:
        return False
    if not hasattr(module.SimulatorClientRunner.do_one_task, "__wrapped__"):
        module.SimulatorClientRunner.do_one_task = _with_own_context(module.SimulatorClientRunner.do_one_task)
    return True


def _with_own_context(do_one_task: Any) -> Any:
    @wraps(do_one_task)
    def separated(runner: Any, client: Any, *args: Any, **kwargs: Any) -> Any:
        own = copy.copy(runner)
        own.build_ctx = dict(runner.build_ctx)
        own.get_next_run_client = runner.get_next_run_client  # whose turn it is stays common to all
        return do_one_task(own, client, *args, **kwargs)

    return separated
