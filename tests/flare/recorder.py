# SPDX-License-Identifier: Apache-2.0
"""Writes down every message that leaves a site; a test ships it inside a job folder, as code of that job alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.fuel.f3.cellnet.utils import encode_payload


class Recorder(Filter):
    """As a component it records what passes the site's cell, serialised; as the last filter, each reply's tensors."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder
        self.count = 0

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.ABOUT_TO_START_RUN:
            core = fl_ctx.get_engine().get_cell().core_cell
            target = Path(self.folder) / fl_ctx.get_identity_name()
            target.mkdir(parents=True, exist_ok=True)

            def record(message: Any, *_: Any, **__: Any) -> None:
                encode_payload(message, fobs_ctx=core.get_fobs_context())
                self.count += 1
                head = json.dumps({str(key): str(value) for key, value in message.headers.items()})
                (target / f"{self.count:06d}.head").write_text(head)
                (target / f"{self.count:06d}.body").write_bytes(bytes(message.payload or b""))

            core.add_outgoing_request_filter("*", "*", record)
            core.add_outgoing_reply_filter("*", "*", record)

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        self.count += 1
        task = fl_ctx.get_prop(FLContextKey.TASK_NAME)
        tensors = dict(from_shareable(shareable).data or {})
        file = Path(self.folder) / fl_ctx.get_identity_name() / f"{self.count:06d}-{task}.pt"
        torch.save({name: value.clone() for name, value in tensors.items() if isinstance(value, torch.Tensor)}, file)
        return shareable
