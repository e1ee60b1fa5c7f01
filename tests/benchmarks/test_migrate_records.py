# SPDX-License-Identifier: Apache-2.0
"""Records of 0.3 get the key names of 0.4 and nothing else: undone, they are the old files to the last byte."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.errors import StoreError
from dsfedmed_benchmarks.migrate_records import main, migrate, require_current, run_name, sha256_of, undo

OLD: dict[str, Any] = {
    "bytes": {"entries": [{"bytes": 3, "stage": "rounds"}]},
    "config": {
        "generator_model": {"foundation": "embedded", "lora_rank": 8},
        "light_overrides": {"light_unet_segmentation/learning_rate": 0.003},
        "schedule": {"at": "sites", "epochs": 1, "every": 10},
        "waits": {"after_absence_s": 5, "after_enough_s": 600, "task_s": 7200},
    },
    "facts": {"foundation": {"channels": 1}, "at": {"channels": 3}},
    "foundation": {"origin": "the file `teacher`", "sha256": "a1"},
    "name": "no_foundation-a-0",
    "sites": ["foundation", "at"],
    "taken_over": {"run": "dsfedmed-a-0", "stages": ["fit base"]},
    "teacher": {"foundation": "248 tensors loaded", "losses": [0.5, 0.25]},
    "teacher_heard": 12,
}
NEW: dict[str, Any] = {
    "bytes": {"entries": [{"bytes": 3, "stage": "rounds"}]},
    "config": {
        "generator_model": {"base": "embedded", "lora_rank": 8},
        "light_settings": {"light_unet_segmentation/learning_rate": 0.003},
        "schedule": {"distil_at": "sites", "epochs": 1, "interval_rounds": 10},
        "timeouts": {"returning_grace_s": 5, "straggler_grace_s": 600, "task_s": 7200},
    },
    "facts": {"foundation": {"channels": 1}, "at": {"channels": 3}},
    "teacher_weights": {"origin": "the file `teacher`", "sha256": "a1"},
    "name": "no_foundation-a-0",
    "sites": ["foundation", "at"],
    "reused": {"run": "dsfedmed-a-0", "stages": ["fit base"]},
    "teacher": {"teacher_weights": "248 tensors loaded", "losses": [0.5, 0.25]},
    "rounds_with_teacher": 12,
}


def values_of(node: Any) -> Iterator[str]:
    """Yield every value below ``node``, whatever its key."""
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from values_of(inner)
    if not isinstance(node, dict | list):
        yield repr(node)


def test_keys_are_renamed_by_their_place_and_no_site_of_such_a_name() -> None:
    old = copy.deepcopy(OLD)
    assert migrate(old) == NEW
    assert old == OLD, "what is given stays as it is"
    assert Counter(values_of(migrate(OLD))) == Counter(values_of(OLD))


def test_undone_it_is_the_old_record_and_twice_is_once() -> None:
    assert undo(migrate(OLD)) == OLD
    assert sha256_of(undo(migrate(OLD))) == sha256_of(OLD)
    assert migrate(migrate(OLD)) == migrate(OLD)


def test_a_record_with_both_names_of_a_key_is_refused() -> None:
    with pytest.raises(StoreError, match="both 'at' and 'distil_at'"):
        migrate({"config": {"schedule": {"at": "sites", "distil_at": "server"}}})


def test_an_old_record_is_refused_by_the_name_of_its_key_now() -> None:
    require_current(NEW, Path("record.json"))
    with pytest.raises(
        StoreError, match=r"'config\.schedule\.every' was renamed to 'interval_rounds'.*migrate_records"
    ):
        require_current(OLD, Path("record.json"))
    with pytest.raises(StoreError, match="'teacher_heard' was renamed to 'rounds_with_teacher'"):
        require_current({"teacher_heard": 3}, Path("record.json"))


def test_rows_of_another_name_move_their_runs() -> None:
    assert run_name("no_foundation-a-0") == "no_teacher_weights-a-0"
    assert run_name("dsfedmed-no_foundation-0") == "dsfedmed-no_foundation-0"


def test_a_folder_is_migrated_and_what_is_there_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "no_foundation-a-0").mkdir(parents=True)
    (old / "no_foundation-a-0" / "record.json").write_text(json.dumps(OLD))
    assert main([str(old), str(new)]) == 0
    assert capsys.readouterr().out == f"{sha256_of(OLD)}  no_teacher_weights-a-0/record.json\n"
    file = new / "no_teacher_weights-a-0" / "record.json"
    assert file.read_text() == json.dumps(NEW, sort_keys=True) + "\n"
    assert main([str(old), str(new)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([str(tmp_path / "none"), str(new)]) == 2
    assert "holds no RUN/record.json" in capsys.readouterr().err
