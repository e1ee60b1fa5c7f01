# SPDX-License-Identifier: Apache-2.0
"""Strategies of hypothesis for what crosses the wire: values of every request and reply, by their type hints."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Union

from hypothesis import strategies as st

from dsfedmed.data.facts import SiteFacts
from dsfedmed.data.manifest import Manifest, Shard, set_sha256
from dsfedmed.federated.wire.requests.evaluation import CaseScores, DetectedCounts, EvaluateRequest
from dsfedmed.federated.wire.tasks import TASKS
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.ranges import DEFAULTS, Between, Length, Matches, Name
from dsfedmed.training.baselines.unlabelled_options import FixMatchOptions, LsslOptions, MeanTeacherOptions
from dsfedmed.training.personal_config import PersonalConfig
from dsfedmed.training.semi_supervised.config import SamFedConfig

MOST = 3
"""Entries of a generated list or mapping: what is wrong with many is wrong with few."""
HEXADECIMAL = "0123456789abcdef"


def bodies() -> list[type]:
    """Return the types of all requests and replies, each once."""
    return list(dict.fromkeys(kind for task in TASKS.values() for kind in (task.request, task.reply)))


@lru_cache(maxsize=1000)
def valid(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a type as a field declares it, every one of them within its range."""
    if kind in RULED:
        return st.deferred(RULED[kind])
    limits: tuple[Any, ...] = ()
    if typing.get_origin(kind) is Annotated:
        kind, *found = typing.get_args(kind)
        limits = tuple(found)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(*(st.none() if a is type(None) else valid(_annotated(a, limits)) for a in arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return st.builds(kind, **{f.name: valid(hints[f.name]) for f in dataclasses.fields(kind) if f.init})
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(valid, arguments))
    if origin in (tuple, list):
        return st.lists(valid(arguments[0]), max_size=MOST).map(origin)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(valid(arguments[0]), valid(arguments[1]), max_size=MOST)
    return _plain(kind, limits or tuple(filter(None, [DEFAULTS.get(kind)])))


def _annotated(kind: Any, limits: tuple[Any, ...]) -> Any:
    return Annotated[(kind, *limits)] if limits else kind


def _plain(kind: type, limits: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    between = next((limit for limit in limits if isinstance(limit, Between)), None)
    if kind is int and between:
        return st.integers(int(between.least), int(between.most))
    if kind is float and between:
        return st.floats(between.least, between.most, allow_subnormal=False)
    pattern = next((limit.pattern for limit in limits if isinstance(limit, Matches)), None)
    if kind is str and pattern:
        return st.from_regex(pattern, fullmatch=True).filter(_is_text)
    length = next((limit.most for limit in limits if isinstance(limit, Length)), 100)
    return {bool: st.booleans(), str: st.text(max_size=min(length, 50)).filter(_is_text)}[kind]


def _is_text(value: str) -> bool:
    try:
        return bool(value.encode()) or True
    except UnicodeEncodeError:
        return False


@st.composite
def _manifests(draw: st.DrawFn) -> Manifest:
    """Manifests whose parts fit together: a million bytes hold three images of 256 pixels a side in colour."""
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=MOST))
    shards = tuple(
        Shard(
            f"synthetic-{n:05d}.safetensors", draw(st.integers(10**6, 10**9)), draw(_hashes()), count, sum(counts[:n])
        )
        for n, count in enumerate(counts)
    )
    origin = tuple(draw(st.lists(st.sampled_from(("site_a", "site_b")), min_size=sum(counts), max_size=sum(counts))))
    channels, size = draw(st.sampled_from((1, 3))), draw(st.integers(1, 256))
    return Manifest(shards, sum(counts), channels, size, origin, set_sha256(shards, origin))


@st.composite
def _facts(draw: st.DrawFn) -> SiteFacts:
    names = draw(st.lists(st.text("abc", max_size=5), min_size=1, max_size=MOST))
    hints = typing.get_type_hints(SiteFacts, include_extras=True)
    own = ("channels", "num_classes", "label_names", "channel_names")
    rest = {n: draw(valid(hints[n])) for n in hints if n not in own}
    channels = draw(st.integers(1, 16))
    called = tuple(f"T{number:02d}" for number in range(channels)) if draw(st.booleans()) else ()
    return SiteFacts(channels, len(names), tuple(names), **rest, channel_names=called)


@st.composite
def _scores(draw: st.DrawFn) -> CaseScores:
    hints, classes = typing.get_type_hints(CaseScores, include_extras=True), draw(st.integers(1, MOST))
    rows = [
        draw(st.lists(valid(_entry_of(hints[n])), min_size=classes, max_size=classes)) for n in ("dice", "iou", "hd95")
    ]
    return CaseScores(*map(tuple, rows), draw(valid(hints["case"])))


@st.composite
def _evaluations(draw: st.DrawFn) -> EvaluateRequest:
    """Requests whose sites' own networks are among those that are scored."""
    hints = typing.get_type_hints(EvaluateRequest, include_extras=True)
    values = {name: draw(valid(hint)) for name, hint in hints.items() if name != "own"}
    names = sorted(values["networks"])
    own = draw(st.dictionaries(st.sampled_from(names), valid(Name), max_size=MOST)) if names else {}
    return EvaluateRequest(own=own, **values)


def _entry_of(hint: Any) -> Any:
    return typing.get_args(typing.get_args(hint)[0])[0]


def _personal() -> st.SearchStrategy[PersonalConfig]:
    positive, experts = st.floats(1e-6, 1e6), st.integers(1, 8)
    return experts.flatmap(
        lambda count: st.builds(
            PersonalConfig, positive, positive, st.floats(0, 0.99), st.integers(0, 50), st.just(count),
            st.integers(1, count), kl_weight=positive, temperature=positive, balance_weight=positive,
            direction=st.sampled_from(("both", "to_personal", "to_global", "none")),
            personal_sync=st.sampled_from(("none", "lora", "lora+decoder")),
        )
    )  # fmt: skip


def _samfed() -> st.SearchStrategy[SamFedConfig]:
    positive, count = st.floats(1e-6, 1e6), st.integers(1, 100)
    return st.builds(
        SamFedConfig, public_epochs=count, rate_factor=positive, threshold=st.floats(0.01, 1), soft_weight=positive,
        temperature=positive, ramp_rounds=count, teacher_gate=st.booleans(),
        site_bundles=st.dictionaries(st.sampled_from(("site_a", "site_b")), st.just("light_unet_segmentation")),
    )  # fmt: skip


def _public_labels(kind: type[Any], **own: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    positive = st.floats(1e-6, 1e6)
    return st.builds(kind, public_epochs=st.integers(1, 100), rate_factor=positive, unlabelled_weight=positive, **own)


def _generators() -> st.SearchStrategy[GeneratorConfig]:
    return st.builds(GeneratorConfig, image_size=st.sampled_from((32, 64)), num_classes=st.integers(1, 4))


def _hashes() -> st.SearchStrategy[str]:
    return st.text(HEXADECIMAL, min_size=64, max_size=64)


@st.composite
def _detected(draw: st.DrawFn) -> DetectedCounts:
    present = draw(st.integers(0, 10**8))
    return DetectedCounts(present, draw(st.integers(0, present)), draw(st.integers(0, 10**8)))


RULED: dict[Any, Callable[[], st.SearchStrategy[Any]]] = {
    Manifest: _manifests,
    SiteFacts: _facts,
    CaseScores: _scores,
    DetectedCounts: _detected,
    EvaluateRequest: _evaluations,
    PersonalConfig: _personal,
    SamFedConfig: _samfed,
    FixMatchOptions: lambda: _public_labels(FixMatchOptions, threshold=st.floats(0.51, 1)),
    LsslOptions: lambda: _public_labels(LsslOptions, flip=st.floats(0, 0.49), gate=st.floats(0, 0.99)),
    MeanTeacherOptions: lambda: _public_labels(
        MeanTeacherOptions, decay=st.floats(0, 0.99), ramp_rounds=st.integers(1, 100)
    ),
    GeneratorConfig: _generators,
}
"""Types with rules over several fields, which their hints do not say."""
