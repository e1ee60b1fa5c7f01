# SPDX-License-Identifier: Apache-2.0
"""What ruins a message: keys, types, sizes, nesting and names that no honest party sends; drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import torch
from torch import Tensor

from dsfedmed.federated.wire.message import Message

TEXTS = (
    "", "..", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "C:\\x", "a\0b", "a\nb", "a\r\n\x1b[2J", "\ud800",
    "\u202e", "$import os", "$@x", "@network_def", "%x.json", "${HOME}", "`touch /tmp/x`", "; rm -rf /", "{{7*7}}",
    "%s%n", "__class__", "_target_", "torch.nn.functional.torch.os.system", "os.system", "<script>alert(1)</script>",
    "x" * 5000, ".hidden", "-rf", "con", "NaN", "null", "a.safetensors\n", "site_a/../site_b", "nul\0.safetensors",
    "~root", "site_a", "local@site_a", "light", "teacher", "0" * 64, "a" * 64,
)  # fmt: skip
"""Strings that do harm somewhere: separators, traversals, code, references, macros, and what no file can hold."""
NUMBERS = (
    0, -1, 1, 2, 10**9, 10**12, 2**31, 2**63, 2**64, 10**400, 10**4000, -(10**30), 0.5, 1.5, -0.0, 7.0, 1e6, 1e300,
    -1e300, float("nan"), float("inf"), -float("inf"), True, False,
)  # fmt: skip
COMMAND = "touch executed"
"""Leaves a file in the working directory of whoever runs it."""
CODE = (
    f"$__import__('os').system('{COMMAND}')",
    {"_target_": "os.system", "command": COMMAND},
    {"_target_": "torch.nn.functional.torch.os.system", "command": COMMAND},
    {"_target_": "subprocess.run", "_mode_": "default", "args": COMMAND.split()},
    f"$(open('{COMMAND.split()[1]}', 'w'))",
)
"""What a bundle's parser would run, were it to take it."""
KEYS = (*TEXTS, "_mode_", "_requires_", "body", "header", "error", "info", "seed", "round", "bundle", "weight")
DEEPEST, WIDEST = 12, 6
"""How far into a message the place to ruin is looked for."""
Path = tuple[str | int, ...]


def hostile_value(draw: Random, depth: int = 0) -> Any:
    """Return a value of any type, size and nesting that JSON can say (NaN and large numbers included)."""
    kind = draw.choice(("text", "text", "number", "number", "none", "code", "list", "mapping", "deep", "long"))
    if kind in ("text", "code") or depth > 3:
        return draw.choice(TEXTS if kind == "text" else CODE)
    if kind in ("number", "none"):
        return None if kind == "none" else draw.choice((*NUMBERS, draw.uniform(-10, 10), draw.randrange(-1000, 1000)))
    if kind == "mapping":
        return {draw.choice(KEYS): hostile_value(draw, depth + 1) for _ in range(draw.randrange(4))}
    if kind == "deep":
        return nested(draw.choice((14, 600, 5000)))
    return [hostile_value(draw, depth + 1) for _ in range(draw.randrange(4))] if kind == "list" else [0] * 10_000


def nested(depth: int) -> list[Any]:
    """Return lists within lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def mutated(content: Any, draw: Random) -> Any:
    """Return JSON with one or two places ruined: replaced, left out, added, or repeated."""
    for _ in range(draw.choice((1, 1, 2))):
        content = _mutated_once(content, draw)
    return content


def _mutated_once(content: Any, draw: Random) -> Any:
    path = draw.choice(paths(content))
    how = draw.choice(("replace", "replace", "replace", "drop", "add", "grow"))
    if not path or how == "replace":
        return replaced(content, path, hostile_value(draw))
    parent, last = _at(content, path[:-1]), path[-1]
    if isinstance(parent, list):
        changed: Any = {"drop": parent[: int(last)], "add": [*parent, hostile_value(draw)]}.get(how, parent * 3)
    else:
        changed = {key: entry for key, entry in parent.items() if how != "drop" or key != last}
        if how != "drop":
            changed[draw.choice(KEYS)] = hostile_value(draw)
    return replaced(content, path[:-1], changed)


def paths(content: Any, above: Path = ()) -> list[Path]:
    """Return the paths of places in JSON, the whole of it first; of long lists, those of the first entries."""
    if len(above) >= DEEPEST:
        return [above]
    entries = list(
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    )
    return [above, *(path for key, entry in entries[:WIDEST] for path in paths(entry, (*above, key)))]


def replaced(content: Any, path: Path, value: Any) -> Any:
    """Return a copy with another value at a path."""
    if not path:
        return value
    copy = dict(content) if isinstance(content, dict) else list(content)
    copy[path[0]] = replaced(content[path[0]], path[1:], value)
    return copy


def _at(content: Any, path: Path) -> Any:
    for key in path:
        content = content[key]
    return content


def mutated_message(message: Message, draw: Random) -> Message:
    """Return a raw message ruined in its JSON, in its tensors, or in what it says that they are."""
    kind = draw.choice(("info", "info", "tensors", "tensors", "difference") if message.tensors else ("info",))
    if kind == "info":
        info = mutated(message.info, draw)
        return replace(message, info=info if isinstance(info, dict) else {"body": info, "header": {}})
    if kind == "difference":
        return replace(message, is_difference=not message.is_difference)
    return replace(message, tensors=mutated_tensors(message.tensors, draw))


def mutated_tensors(tensors: dict[str, Tensor], draw: Random) -> dict[str, Tensor]:
    """Return tensors of which one is missing, added, renamed, of another shape or type, or holds what it cannot."""
    name = draw.choice(sorted(tensors))
    others, tensor = {key: value for key, value in tensors.items() if key != name}, tensors[name]
    change = draw.choice((*RUINED, "drop", "add", "rename", "none"))
    if change in ("drop", "none"):
        return others if change == "drop" else {}
    if change == "add":
        return {**tensors, draw.choice(TEXTS): torch.zeros(3)}
    return {**others, draw.choice(TEXTS): tensor} if change == "rename" else {**others, name: RUINED[change](tensor)}


def _with_one(value: float) -> Callable[[Tensor], Tensor]:
    """Return what puts a value into the first place of a tensor."""

    def put(tensor: Tensor) -> Tensor:
        changed = tensor.clone().flatten() if tensor.is_floating_point() else tensor.double().flatten()
        changed[:1] = value
        return changed.reshape(tensor.shape)

    return put


RUINED: dict[str, Callable[[Tensor], Tensor]] = {
    "NaN": _with_one(float("nan")),
    "infinite": _with_one(-float("inf")),
    "too large for the wire": lambda tensor: torch.full(tensor.shape, 1e30),
    "too large for float32": lambda tensor: torch.full(tensor.shape, 1e300, dtype=torch.float64),
    "flat": lambda tensor: tensor.flatten()[:1],
    "a number": lambda tensor: torch.tensor(1.0),
    "nothing": lambda tensor: tensor.flatten()[:0],
    "more axes": lambda tensor: tensor[None],
    "repeated": lambda tensor: torch.cat([tensor.flatten()] * 3),
    "float64": lambda tensor: tensor.double(),
    "int8": lambda tensor: tensor.to(torch.int8),
    "int64": lambda tensor: tensor.to(torch.int64),
    "bool": lambda tensor: tensor.to(torch.bool),
    "bfloat16": lambda tensor: tensor.to(torch.bfloat16),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "without storage": lambda tensor: tensor.to("meta"),
    "sparse": lambda tensor: tensor.to_sparse(),
    "10 GB that are not there": lambda tensor: torch.empty(2_500_000_000, device="meta"),
}
"""What can be wrong with one tensor; values that fit but mislead are not among it."""
