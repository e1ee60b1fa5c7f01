# SPDX-License-Identifier: Apache-2.0
"""Counts the bytes that really go through NVFlare's messaging layer, at the server's cell."""

from __future__ import annotations

from typing import Any

from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.cellnet.utils import buffer_len, encode_payload

from dsfedmed.exchange.ledger import ByteLedger


def attach(ledger: ByteLedger, cell: Any) -> None:
    """Count every message between the server's ``cell`` and the sites into ``ledger``.

    The payload is counted as serialised, chunk by chunk for what is streamed, without transport framing. In the
    simulator the job's messages to the sites pass through this cell as incoming ones; between separate processes they
    leave it as outgoing requests and replies. No message takes both ways, so nothing is counted twice.
    """
    core = cell.core_cell

    def incoming(message: Any, *_: Any, **__: Any) -> None:
        size = buffer_len(message.payload)
        origin = _site(message.get_header(MessageHeaderKey.ORIGIN))
        target = _site(message.get_header(MessageHeaderKey.DESTINATION))
        if origin:
            ledger.add(origin, "up", size)
        elif target:
            ledger.add(target, "down", size)

    def outgoing(message: Any, *_: Any, **__: Any) -> None:
        target = _site(message.get_header(MessageHeaderKey.DESTINATION))
        if target:
            encode_payload(message, fobs_ctx=core.get_fobs_context())
            ledger.add(target, "down", buffer_len(message.payload))

    core.add_incoming_filter("*", "*", incoming)
    core.add_outgoing_request_filter("*", "*", outgoing)
    core.add_outgoing_reply_filter("*", "*", outgoing)


def _site(address: str | None) -> str | None:
    root = (address or "").split(".")[0]
    return None if root in ("", "server") else root
