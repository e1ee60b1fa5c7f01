# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests and replies: whether they arrive as they were sent, and what else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.manifest import Manifest
from dsfedmed.errors import PayloadError
from dsfedmed.federated.wire.codec import from_json, to_json, to_object
from tests.federated.tiny import noise_manifest, tiny_plan, tiny_settings

PLAN = tiny_plan(tiny_settings())
ROUND = PLAN.round_facts("dsfedmed", 3)


def manifest_in(folder: Path) -> Manifest:
    return noise_manifest(folder, ["site_a", "site_b"])


def comes_back(body: Any) -> Any:
    """Send a body, and see that what arrives says the same."""
    sent = json.loads(json.dumps(to_json(body), allow_nan=False))
    found = from_json(type(body), sent, "site_a")
    assert type(found) is type(body)
    assert json.loads(json.dumps(to_json(found))) == sent
    return found


def changed(body: Any, path: str, value: Any) -> dict[str, Any]:
    """Return a body as JSON with one value changed; ``path`` is its keys by dots."""
    content: dict[str, Any] = json.loads(json.dumps(to_object(body)))
    *above, last = path.split(".")
    place: Any = content
    for key in above:
        place = place[int(key) if isinstance(place, list) else key]
    place[int(last) if isinstance(place, list) else last] = value
    return content


def refused(body: Any, path: str, value: Any) -> str:
    """Return why a body with one value changed is refused."""
    with pytest.raises(PayloadError) as caught:
        from_json(type(body), changed(body, path, value), "site_a")
    assert caught.value.where == "site_a"
    return caught.value.reason
