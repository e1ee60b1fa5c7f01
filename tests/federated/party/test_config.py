# SPDX-License-Identifier: Apache-2.0
"""A site's own configuration: what may stand in it, and that mistakes are said with the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.branch_privacy import BranchRule
from dsfedmed.federated.party.config import PartyConfig, load_party_config


def _load(folder: Path, text: str, site: str = "site_a") -> PartyConfig:
    (folder / "dsfedmed.yaml").write_text(text, encoding="utf-8")
    return load_party_config(folder, site)


def test_no_file_means_defaults(tmp_path: Path) -> None:
    default = PartyConfig(branch_account=tmp_path / "branch_privacy-site_a.json")
    assert load_party_config(tmp_path, "site_a") == default
    assert _load(tmp_path, "# nothing yet\n") == default
    assert (PartyConfig().send_drawn_masks, PartyConfig().send_amplitudes) == (False, False)


def test_the_site_s_name_stands_in_its_paths(tmp_path: Path) -> None:
    text = "data: /images/{site}/now\noutput: out/{site}\nbundles: bundles\nthreads: 2\ndevice: cuda\n"
    config = _load(tmp_path, text, "Klinik_7")
    assert config.data == Path("/images/Klinik_7/now")
    assert config.output == Path("out/Klinik_7")
    assert config.bundles == Path("bundles")
    assert (config.threads, config.device) == (2, "cuda")


def test_the_run_s_key_stands_in_its_paths(tmp_path: Path) -> None:
    (tmp_path / "dsfedmed.yaml").write_text("output: /out/{site}/{run}\nmemory_gib: 7.5\n")
    config = load_party_config(tmp_path, "site_b", "dsfedmed-0123")
    assert config.output == Path("/out/site_b/dsfedmed-0123")
    assert config.memory_gib == 7.5


def test_a_party_names_the_classes_it_accepts_beyond_the_list(tmp_path: Path) -> None:
    assert PartyConfig().bundle_classes == ()
    config = _load(tmp_path, "bundle_classes: [monai.losses.FocalLoss, hospital_net.Net]\n")
    assert config.bundle_classes == ("monai.losses.FocalLoss", "hospital_net.Net")


def test_a_site_sets_the_least_share_that_its_audit_vetoes(tmp_path: Path) -> None:
    assert PartyConfig().audit_quantile == 0.01
    assert _load(tmp_path, "audit_quantile: 0.05\n").audit_quantile == 0.05


def test_a_site_insists_on_private_branches_and_counts_them_beside_the_file(tmp_path: Path) -> None:
    assert PartyConfig().branch_privacy is None
    text = "branch_privacy: {epsilon: 3, delta: 1e-5, max_grad_norm: 0.5, max_epsilon: 10}\n"
    config = _load(tmp_path, text)
    assert config.branch_privacy == BranchRule(3.0, 1e-5, 0.5, 10.0)
    assert config.branch_account == tmp_path / "branch_privacy-site_a.json"
    assert _load(tmp_path, "branch_account: /kept/{site}.json\n").branch_account == Path("/kept/site_a.json")


def test_home_is_expanded_and_null_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    config = _load(tmp_path, "data: ~/images\nteacher:\n")
    assert config.data == Path("/home/someone/images")
    assert config.teacher is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "dta: /images\n",
            r"dsfedmed\.yaml: key `dta` is unknown\. Known keys: audit_quantile, branch_account, branch_privacy, ",
        ),
        ("audit_quantile: 0.0\n", r"`audit_quantile` must be a number between 0 and 1, found 0\.0"),
        ("audit_quantile: 1\n", r"`audit_quantile` must be a number between 0 and 1, found 1"),
        ("branch_privacy: 3\n", r"`branch_privacy` must be a mapping with an epsilon, found 3"),
        ("branch_privacy: {delta: 1e-5}\n", r"must be a mapping with an epsilon"),
        ("branch_privacy: {epsilon: 0}\n", r"`branch_privacy.epsilon` is 0, which is out of its range"),
        ("branch_privacy: {epsilon: 3, delta: 1}\n", r"`branch_privacy.delta` is 1"),
        ("branch_privacy: {epsilon: 3, max_epsilon: 2}\n", r"`branch_privacy.max_epsilon` is 2"),
        ("threads: two\n", r"`threads` must be a whole number from 1, found 'two'"),
        ("threads: true\n", r"`threads` must be a whole number from 1, found True"),
        ("threads: 0\n", r"`threads`"),
        ("workers: -1\n", r"`workers` must be a whole number from 0, found -1"),
        ("progress_s: -1\n", r"`progress_s` must be a whole number from 0, found -1"),
        ("bundle_classes: torch.nn.ReLU\n", r"`bundle_classes` must be a list of dotted names, found 'torch.nn.ReLU'"),
        ("bundle_classes: [torch.nn., 3]\n", r"`bundle_classes` must be a list of dotted names"),
        ("bundle_classes: ['torch.*']\n", r"`bundle_classes` must be a list of dotted names"),
        ("memory_gib: 0\n", r"`memory_gib` must be a number above 0, found 0"),
        ("memory_gib: true\n", r"`memory_gib` must be a number above 0, found True"),
        ("device: 0\n", r"`device` must be a str, found 0"),
        ("uploads_on_disk: 1\n", r"`uploads_on_disk` must be a bool, found 1"),
        ("send_drawn_masks: 'no'\n", r"`send_drawn_masks` must be a bool, found 'no'"),
        ("send_amplitudes: 1\n", r"`send_amplitudes` must be a bool, found 1"),
        ("data: [a, b]\n", r"`data`"),
        ("data: 7\n", r"`data`"),
        ("- data\n", r"does not hold `key: value` lines"),
        ("data: [a\n", r"is not valid YAML"),
        ("a: 2020-99-99\n", r"is not valid YAML \(month"),
        ("threads: 0x" + "f" * 5000, r"is not valid YAML"),
        ("[" * 3000, r"is not valid YAML"),
        ('data: "a\\0b"\n', r"`data` must be a path"),
        ("data: " + "x" * 5000, r"`data` must be a path"),
    ],
)
def test_mistakes_name_file_reason_and_fix(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        _load(tmp_path, text)
    assert caught.value.where == str(tmp_path / "dsfedmed.yaml")
    assert caught.value.fix


def test_a_needed_path_says_where_to_write_it() -> None:
    assert PartyConfig(data=Path("x")).need("data") == Path("x")
    with pytest.raises(ConfigError, match=r"`bundles` is not set\. Add `bundles: <path>` to local/dsfedmed\.yaml"):
        PartyConfig().need("bundles")
