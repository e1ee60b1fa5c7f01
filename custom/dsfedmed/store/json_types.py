# SPDX-License-Identifier: Apache-2.0
"""The type of what JSON can say: what lies in records and crosses the wire before it has a type of its own."""

from __future__ import annotations

from typing import TypeAlias, Union

Json: TypeAlias = Union[bool, int, float, str, "list[Json]", "dict[str, Json]", None]
"""Any value of JSON."""
JsonObject: TypeAlias = "dict[str, Json]"
"""A JSON object."""
