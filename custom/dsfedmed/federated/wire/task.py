# SPDX-License-Identifier: Apache-2.0
"""A task of the sites: its name, its typed request and reply, what does it, and how its reply is treated."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")
Sends: TypeAlias = Literal[
    "facts", "verdict", "masks", "branch", "update", "network", "answers", "statistics", "amplitudes"
]
"""What a reply's tensors are, for a hospital's own rules of what may leave. "facts" has none."""


@dataclass(frozen=True)
class Task(Generic[RequestT, ReplyT]):
    """One entry for one task; everything that treats tasks differently asks here.

    Attributes:
        name: on the wire; starts with ``dsf_``.
        request: type of the request's body.
        reply: type of the reply's body.
        function: "module:function" of the site that does it, loaded at the site only.
        sends: what its tensors are.
        carries_update: whether they are a difference that is packed for the wire after the hospital's filters.
        cached: whether a request that comes a second time is answered from disk.
        waits_for_all: whether the server waits for every site, and not only for the grace once there are enough.
        own_network: "module:function" that returns the network which the site keeps of this task and scores in the
            end, or None where it has none; empty for a task without. Called with the site's context, the request to
            evaluate, and the network's name.
        adapts: "module:function" that fits the server's network, in place, to a site that keeps none of its own; empty
            for none. Called with the same context and request, and the network.
        own_release: "module:function" that writes that network as a bundle into the site's own folder; empty for none.
            Called with the same context and request, the network, and its scores.
        own_bundle: where in that folder.
    """

    name: str
    request: type[RequestT]
    reply: type[ReplyT]
    function: str
    sends: Sends
    carries_update: bool = False
    cached: bool = True
    waits_for_all: bool = False
    own_network: str = ""
    adapts: str = ""
    own_release: str = ""
    own_bundle: str = ""

    def load(self) -> Callable[..., Any]:
        """Return the site's function, called with the site's context and the request's envelope."""
        return load_function(self.function)


def load_function(path: str) -> Callable[..., Any]:
    """Return the function that an entry names as "module:function"."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
