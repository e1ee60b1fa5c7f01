# SPDX-License-Identifier: Apache-2.0
"""Settings: presets load, unknown keys name the nearest, impossible values are refused before anything starts."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.errors import ConfigError
from dsfedmed.settings import Settings, merge, parse_override, read_preset, read_run
from dsfedmed.settings_checks import ABOVE_ZERO, FROM_ONE, FROM_ZERO

PRESETS = Path(__file__).resolve().parents[1] / "jobs" / "dsfedmed" / "presets"
INF, NAN = float("inf"), float("nan")
NESTED = st.recursive(
    st.integers(),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
)
MAPPING = st.dictionaries(st.sampled_from(["a", "b", "c"]), NESTED, max_size=3)


def test_defaults_survive_json() -> None:
    assert Settings.from_dict(json.loads(json.dumps(Settings().to_dict()))) == Settings()


def test_every_changed_value_survives_json() -> None:
    changed = Settings.from_dict(
        {
            "preset": "mine",
            "seed": 5,
            "unseen": ["site_d"],
            "light": {"precision": "fp32", "keep_optimizer": False},
            "light_settings": {"channels": [8, 16]},
            "generator_model": {"block_out_channels": [16, 32]},
            "teacher": {"epochs": 3},
            "distillation": {"rule": "softmax", "lam": 0.25},
            "server_distillation": {"batch_size": 4},
            "schedule": {"order": "paper", "distil_at": "server", "epochs": 20},
            "timeouts": {"task_s": 1},
        }
    )
    assert changed.unseen == ("site_d",)
    assert changed.schedule.epochs == 20
    assert Settings.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_loads(path: Path) -> None:
    loaded = Settings.from_dict(read_preset(path), path.name)
    assert Settings.from_dict(loaded.to_dict()) == loaded
    assert loaded.rounds >= 3


def test_a_preset_lies_over_its_base(tmp_path: Path) -> None:
    """small builds on middle, which builds on large: each says only what differs."""
    (tmp_path / "large.yaml").write_text("rounds: 60\nschedule: {interval_rounds: 10, warmup_rounds: 7}\n")
    (tmp_path / "middle.yaml").write_text("base: large\nschedule: {interval_rounds: 4}\n")
    (tmp_path / "small.yaml").write_text("base: middle\nrounds: 3\nimage_size: 32\n")
    found = [Settings.from_dict(read_preset(tmp_path / f"{name}.yaml")) for name in ("large", "middle", "small")]
    assert [settings.rounds for settings in found] == [60, 60, 3]
    assert [settings.schedule.interval_rounds for settings in found] == [10, 4, 4]
    assert [settings.schedule.warmup_rounds for settings in found] == [7, 7, 7]
    assert [settings.image_size for settings in found] == [64, 64, 32]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"roundz": 3}, r"mine\.yaml\.roundz: unknown key\. Did you mean 'rounds'"),
        ({"schedule": {"epoch": 3}}, r"mine\.yaml\.schedule\.epoch: unknown key\. Did you mean 'epochs'"),
        ({"light": {"qqqqqqq": 1}}, r"mine\.yaml\.light\.qqqqqqq: unknown key\. Valid keys are bundle, batch_size"),
        ({"light_overrides": {}}, r"mine\.yaml\.light_overrides: renamed to `light_settings` in 0\.4"),
        ({"light": {"bundle": "../x"}}, r"mine\.yaml\.light\.bundle: '\.\./x' is no bundle's name"),
        ({"rounds": "3"}, r"mine\.yaml\.rounds: '3' is not a whole number"),
        ({"rounds": True}, r"mine\.yaml\.rounds: True is not a whole number"),
        ({"rounds": 2.5}, r"mine\.yaml\.rounds: 2\.5 is not a whole number"),
        ({"rounds": 0}, r"mine\.yaml\.rounds: 0 rounds and no head start train nothing"),
        ({"min_sites": 0}, r"mine\.yaml\.min_sites: 0 is below 1"),
        ({"schedule": 5}, r"mine\.yaml\.schedule: is not a section"),
        ({"schedule": None}, r"mine\.yaml\.schedule: is not a section"),
        (
            {"schedule": {"distil_at": "moon"}},
            r"schedule\.distil_at: 'moon' is not a choice\. Use one of server, sites, both",
        ),
        ({"schedule": {"soft_label_ensemble": "no"}}, r"soft_label_ensemble: 'no' is not true or false"),
        ({"schedule": {"interval_rounds": 0}}, r"mine\.yaml\.schedule\.interval_rounds: 0 is below 1"),
        ({"schedule": {"epochs": 0}}, r"mine\.yaml\.schedule\.epochs: 0 is below 1"),
        (
            {"schedule": {"order": "paper", "distil_at": "sites"}},
            r"schedule\.distil_at: order 'paper' .*Use distil_at: server, or order",
        ),
        ({"schedule": {"order": "paper", "distil_at": "both"}}, r"schedule\.distil_at: order 'paper'"),
        ({"synthetic": {"audit_quantile": "x"}}, r"synthetic\.audit_quantile: 'x' is not a number"),
        ({"robust": {"part_steps": 0}}, r"mine\.yaml\.robust\.part_steps: 0 is below 1"),
        ({"robust": {"part_adherence": 1.5}}, r"robust\.part_adherence: 1\.5 is not in \[0, 1\]\. Give 0\.1"),
        ({"robust": {"part_margin": -0.1}}, r"robust\.part_margin: -0\.1 is not in \[0, 1\]\. Give 0\.05"),
        ({"robust": {"parts": 2}}, r"robust\.parts: 2 is not true or false"),
        ({"distillation": {"rate": 0.0}}, r"distillation\.rate: 0\.0 lies outside"),
        ({"server_distillation": {"batch_size": 0}}, r"server_distillation\.batch_size"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key_and_a_fix(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Settings.from_dict(values, "mine.yaml")
    assert caught.value.fix


@pytest.mark.parametrize("unseen", ["site_d", 4, [4]])
def test_unseen_is_a_list_of_names(unseen: object) -> None:
    """`unseen: site_d` in YAML is a text; its letters are no sites."""
    with pytest.raises(ConfigError, match=r"unseen"):
        Settings.from_dict({"unseen": unseen})


@pytest.mark.parametrize("key", ["light_settings", "generator_model"])
def test_free_sections_are_sections_too(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key}: is not a section"):
        Settings.from_dict({key: 3})


@pytest.mark.parametrize(
    "values",
    [
        {"light": {"batch_size": 0}},
        {"light": {"epochs_per_round": 0}},
        {"synthetic": {"per_site": 0}},
        {"synthetic": {"shard_size": 0}},
        {"synthetic": {"audit_quantile": 1.5}},
        {"synthetic": {"audit_quantile": 0.0}},
        {"image_size": 0},
    ],
)
def test_sizes_that_fail_hours_later_are_refused_at_once(values: dict[str, Any]) -> None:
    key = next(iter(values))
    with pytest.raises(ConfigError, match=key):
        Settings.from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": -1}, r"seed: -1 is below 0"),
        ({"seed": 2**63}, r"seed: 9223372036854775808 is above"),
        ({"teacher_image_size": -64}, r"teacher_image_size: -64 is below 0"),
        ({"schedule": {"warmup_rounds": -1}}, r"schedule\.warmup_rounds: -1 is below 0"),
        ({"schedule": {"head_start_steps": -1}}, r"schedule\.head_start_steps: -1 is below 0"),
        ({"schedule": {"average_rounds": -2}}, r"schedule\.average_rounds: -2 is below 0"),
        ({"schedule": {"site_kl_weight": -0.5}}, r"schedule\.site_kl_weight: -0\.5 is below 0"),
        ({"schedule": {"site_supervised_weight": -1.0}}, r"schedule\.site_supervised_weight: -1\.0 is below 0"),
        ({"schedule": {"head_start_learning_rate": 0.0}}, r"schedule\.head_start_learning_rate: 0\.0 is not above 0"),
        ({"schedule": {"head_start_learning_rate": INF}}, r"schedule\.head_start_learning_rate: inf is not finite"),
        ({"compare": {"fedsam_learning_rate": -1e-4}}, r"compare\.fedsam_learning_rate: -0\.0001 is not above 0"),
        ({"compare": {"fedmsa_learning_rate": 0}}, r"compare\.fedmsa_learning_rate: 0 is not above 0"),
        ({"compare": {"fedprox_mu": NAN}}, r"compare\.fedprox_mu: nan is not finite"),
        ({"teacher": {"learning_rate": INF}}, r"teacher\.learning_rate: inf is not finite"),
        ({"teacher": {"weight_decay": NAN}}, r"teacher\.weight_decay: nan is not finite"),
        ({"server_distillation": {"student_learning_rate": INF}}, r"student_learning_rate: inf is not finite"),
        ({"timeouts": {"straggler_grace_s": -1}}, r"timeouts\.straggler_grace_s: -1 is below 0"),
        ({"timeouts": {"returning_grace_s": -1}}, r"timeouts\.returning_grace_s: -1 is below 0"),
        ({"synthetic": {"max_veto_share": 1.5}}, r"synthetic\.max_veto_share: 1\.5 is not in"),
        ({"light_settings": {"learning_rate": NAN}}, r"light_settings\.learning_rate: nan is not finite"),
        ({"light_settings": {"sizes": [1.0, [INF]]}}, r"light_settings\.sizes: .*inf.* is not finite"),
        ({"method": {"rate_factor": INF}}, r"method\.rate_factor: inf is not finite"),
        ({"generator_model": {"sampler_steps": 0}}, r"generator_model\.sampler_steps: 0 is not usable"),
        ({"generator_model": {"branch_learning_rate": -1.0}}, r"generator_model\.branch_learning_rate: -1\.0 is not"),
        ({"generator_model": {"samplr": "ddim"}}, r"generator_model\.samplr: unknown key\. Did you mean 'sampler'"),
        (
            {"generator_model": {"unshuffle": 128}},
            r"generator_model\.image_size: 64 is not usable\. Give a multiple of",
        ),
        ({"light": {"bundle": "../../secrets"}}, r"light\.bundle: '\.\./\.\./secrets' is no bundle's name"),
        ({"light": {"bundle": ".hidden"}}, r"light\.bundle: '\.hidden' is no bundle's name"),
        ({"light": {"bundle": "a/b"}}, r"light\.bundle: 'a/b' is no bundle's name"),
        ({"light": {"bundle": ""}}, r"light\.bundle: '' is no bundle's name"),
        ({"light": {"bundle": "unet\n"}}, r"light\.bundle: 'unet\\n' is no bundle's name"),
    ],
)
def test_numbers_and_names_out_of_their_range_are_refused_before_the_start(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Settings.from_dict(values, "mine.yaml")
    assert caught.value.fix


@pytest.mark.parametrize("key", FROM_ONE + FROM_ZERO + tuple(ABOVE_ZERO))
def test_every_bounded_number_is_a_setting_and_refused_below_its_bound(key: str) -> None:
    """A key of the tables that were none of the settings would stop every run; one that is not looked at, none."""
    with pytest.raises(ConfigError, match=rf"mine\.yaml\.{key}: -1 is"):
        Settings.from_dict(parse_override(f"{key}=-1"), "mine.yaml")


def test_a_missing_preset_lists_those_there_once(tmp_path: Path) -> None:
    for name in ("us", "fundus"):
        (tmp_path / f"{name}.yaml").write_text("rounds: 1\n")
    (tmp_path / "mine.yaml").write_text("base: uss\n")
    for asked, missing in (("ultra", "ultra"), ("mine", "uss")):
        with pytest.raises(ConfigError) as caught:
            read_run(asked, presets=tmp_path)
        there = f"{tmp_path / missing}.yaml: there is no such preset. Presets there: fundus, mine, us"
        assert str(caught.value) == there
    with pytest.raises(ConfigError, match=r"Presets there: none"):
        read_preset(tmp_path / "no_folder" / "ultra.yaml")


def test_a_run_is_its_preset_the_overrides_and_the_command_line_in_this_order(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 1\nrounds: 5\nunseen: [a]\nlight: {batch_size: 4}\n")
    plain = read_run("mine", presets=tmp_path)
    assert (plain.preset, plain.seed, plain.rounds, plain.unseen) == ("mine", 1, 5, ("a",))
    words = ["rounds=6", "seed=2", "light.batch_size=3", "light.batch_size=2", "preset=other", "unseen=[b]"]
    over = read_run("mine", words, presets=tmp_path)
    assert (over.preset, over.seed, over.rounds, over.unseen) == ("mine", 2, 6, ("b",))
    assert over.light.batch_size == 2, "the later override wins"
    said = read_run("mine", words, presets=tmp_path, seed=0, unseen=["c", "d"], label_site="e")
    assert (said.seed, said.unseen, said.method) == (0, ("c", "d"), {"label_site": "e"})
    assert said.rounds == 6


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("round=6", "--set round: unknown key. Did you mean 'rounds'?"),
        ("rounds=many", "--set rounds: 'many' is not a whole number. Give a whole number."),
        ("schedule=3", "--set schedule: is not a section. Write `key: value` lines"),
        ("light.batchsize=4", "--set light.batchsize: unknown key. Did you mean 'batch_size'?"),
        ("seed=1", "mine.yaml.min_sites: 'two' is not a whole number. Give a whole number."),
    ],
)
def test_an_error_names_the_option_or_the_file_that_the_value_is_of(tmp_path: Path, override: str, said: str) -> None:
    lines = "min_sites: two\n" if override == "seed=1" else "rounds: 3\n"
    (tmp_path / "mine.yaml").write_text(lines)
    with pytest.raises(ConfigError) as caught:
        read_run("mine", [override], presets=tmp_path)
    assert str(caught.value) == said


def test_a_run_takes_a_preset_by_name_or_by_path(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("rounds: 5\n")
    by_path = read_run(tmp_path / "mine.yaml")
    assert by_path == read_run(str(tmp_path / "mine.yaml"), presets=PRESETS) == read_run("mine", presets=tmp_path)
    with pytest.raises(ConfigError, match="preset mine: is not a YAML file"):
        read_run("mine")
    with pytest.raises(ConfigError, match=r"--set rounds: 0 rounds and no head start"):
        read_run("mine", ["rounds=0"], presets=tmp_path)


LAUGHS = "a: &a [x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: [1", "cannot be read"),
        ("[" * 3000 + "]" * 3000, "cannot be read"),
        ("- a\n- b\n", "does not hold"),
        ("text", "does not hold"),
        (LAUGHS, r"cannot be read \(its references unfold"),
        ("method:\n" + indent(LAUGHS, "  "), r"cannot be read \(its references unfold"),
        ("seed: 0x" + "f" * 5000, "cannot be read"),
        ("base: " + "x" * 5000, r".*x\.yaml: there is no such preset"),
    ],
    ids=["half", "nested", "list", "text", "references", "references below", "digits", "base"],
)
def test_what_is_no_preset_is_named(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(ConfigError, match=rf"p\.yaml: {reason}" if "base" not in content else reason) as error:
        read_preset(tmp_path / "p.yaml")
    assert "\n" not in str(error.value)


def test_an_empty_preset_is_all_defaults(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("# nothing\n")
    assert read_preset(tmp_path / "p.yaml") == {}


def test_presets_that_build_on_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b\n")
    (tmp_path / "b.yaml").write_text("base: a\n")
    with pytest.raises(ConfigError, match="base"):
        read_preset(tmp_path / "a.yaml")


def test_merge_by_hand() -> None:
    base = {"a": {"x": 1, "y": {"z": 2}}, "b": [1, 2]}
    assert merge(base, {"a": {"y": {"w": 3}}, "b": [9]}) == {"a": {"x": 1, "y": {"z": 2, "w": 3}}, "b": [9]}
    assert merge(base, {"a": 5}) == {"a": 5, "b": [1, 2]}
    assert base == {"a": {"x": 1, "y": {"z": 2}}, "b": [1, 2]}


@given(MAPPING, MAPPING)
@settings(deadline=None, max_examples=50)
def test_merging_again_changes_nothing_and_the_overlay_wins(base: dict[str, Any], overlay: dict[str, Any]) -> None:
    merged = merge(base, overlay)
    assert merge(merged, overlay) == merged
    assert merge(base, {}) == base
    assert merge({}, overlay) == overlay
    assert merged.keys() == base.keys() | overlay.keys()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rounds=3", {"rounds": 3}),
        ("schedule.interval_rounds=5", {"schedule": {"interval_rounds": 5}}),
        ("a.b.c=[1, 2]", {"a": {"b": {"c": [1, 2]}}}),
        ("compare.fedsam=true", {"compare": {"fedsam": True}}),
        ("light.bundle=x=y", {"light": {"bundle": "x=y"}}),
        ("teacher_variant=", {"teacher_variant": None}),
    ],
)
def test_overrides_are_yaml_under_a_dotted_key(text: str, expected: dict[str, Any]) -> None:
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["rounds", "=3", "rounds=[1", "rounds={a", "rounds=" + "[" * 3000])
def test_what_is_no_override_is_shown_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set ") as caught:
        parse_override(text)
    assert text in caught.value.where
    assert "--set schedule.interval_rounds=5" in caught.value.fix


def test_a_private_branch_needs_a_base_that_the_sites_do_not_fit() -> None:
    asked = {"branch_epsilon": 3.0}
    with pytest.raises(ConfigError, match="learns from the same images without it") as caught:
        Settings.from_dict({"generator": asked})
    assert "generator.base: given" in caught.value.fix
    assert Settings.from_dict({"generator": {**asked, "base": "given"}}).generator.branch_epsilon == 3
    stable = {"base": "stable_diffusion", "lora_rank": 4}
    assert Settings.from_dict({"generator": asked, "generator_model": stable}).generator.branch_delta == 0
    with pytest.raises(ConfigError, match=r"branch_delta: 1 is not below 1"):
        Settings.from_dict({"generator": {**asked, "base": "given", "branch_delta": 1}})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("method.x", "2020-01-01", "is a date"),
        ("method.x", "!!binary aGk=", "is a bytes"),
        ("method.x", "{1: 2}", "is no name"),
        ("light_settings", "{1: 2}", "is no name"),
        ("server_distillation", "{1: 2}", "is no name"),
        ("teacher_variant", "[small]", "is not text"),
        ("teacher.lora_targets", "7", "is not text"),
        ("generator_model.lora_rank", "9" * 90, "is too large a number"),
        ("seed", "-" + "9" * 90, "is too large a number"),
    ],
)
def test_what_json_cannot_hold_is_refused_before_anything_starts(key: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Settings.from_dict(parse_override(f"{key}={value}"))
    assert key.partition(".")[0] in caught.value.where
    assert len(str(caught.value)) < 300
