# SPDX-License-Identifier: Apache-2.0
"""One workflow a file; `dsfedmed.methods` has the entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsfedmed.methods import METHODS
from dsfedmed.options import require_choice
from dsfedmed.settings import Settings

if TYPE_CHECKING:
    from dsfedmed.federated.server.workflow import FederatedWorkflow


def workflow_of(method: str, settings: Settings) -> FederatedWorkflow:
    """Return the workflow of a method.

    Raises:
        ConfigError: there is no such method, or it does not have an option that the settings give it.
    """
    require_choice("method", method, tuple(METHODS))
    workflow: FederatedWorkflow = METHODS[method].load()(settings)
    return workflow
