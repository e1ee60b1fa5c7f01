# SPDX-License-Identifier: Apache-2.0
"""A receiver that also takes the server's own curves.

NVFlare's receivers for MLflow and Weights & Biases open a run for every site when they start, and none for the server.
They then drop its scalars (MLflow with an error). They ask the context for the sites: here they are told of the server
as well.
"""

from __future__ import annotations

from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.fl_context import FLContext


class ContextWithServer(FLContext):  # type: ignore[misc]
    """A context, sharing all of its state with another one, whose engine names the server among the sites."""

    def __init__(self, whole: FLContext) -> None:
        self.__dict__ = whole.__dict__

    def get_engine(self, *args: Any, **kwargs: Any) -> Any:
        """Return the engine."""
        return _EngineWithServer(super().get_engine(*args, **kwargs), self.get_identity_name())


class WithServer:
    """Mixed into a receiver of NVFlare's, before it."""

    def initialize(self, fl_ctx: FLContext) -> None:
        """Open the runs, the server's among them."""
        super().initialize(ContextWithServer(fl_ctx))  # type: ignore[misc]


class _EngineWithServer:
    def __init__(self, engine: Any, server: str) -> None:
        self._engine, self._server = engine, server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def get_clients(self) -> list[Client]:
        """Return the sites and the server."""
        return [*self._engine.get_clients(), Client(self._server, "")]
