# SPDX-License-Identifier: Apache-2.0
"""Scalars go where NVFlare's receivers listen: the server's own as they are, a site's over the wire."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.apis.dxo import from_shareable
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext

from dsfedmed.flare.tracking import SITE_EVENT, log_scalar


class Component(FLComponent):  # type: ignore[misc]
    """Keeps the events that it fires."""

    def __init__(self) -> None:
        super().__init__()
        self.fired: list[tuple[str, bool, Any]] = []

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        self.fired.append((event_type, False, fl_ctx.get_prop(FLContextKey.EVENT_DATA)))

    def fire_fed_event(self, event_type: str, event_data: Any, fl_ctx: FLContext, *_: Any, **__: Any) -> None:
        self.fired.append((event_type, True, event_data))


@pytest.mark.parametrize("from_site", [False, True])
def test_a_scalar_has_its_tag_value_and_step(from_site: bool) -> None:
    component, engine = Component(), SimpleNamespace(new_context=lambda: nullcontext(FLContext()))
    log_scalar(component, engine, "dsfedmed/loss", 0.25, 7, from_site)
    ((event, over_the_wire, data),) = component.fired
    assert over_the_wire is from_site
    assert event == (SITE_EVENT if from_site else "analytix_log_stats")
    values = from_shareable(data).data
    assert (values["track_key"], values["track_value"], values["global_step"]) == ("dsfedmed/loss", 0.25, 7)
