# SPDX-License-Identifier: Apache-2.0
"""Build, check and write RUN/results.json."""

from __future__ import annotations

import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from dsfedmed.documents import OWN_BYTES, read_json
from dsfedmed.errors import StoreError
from dsfedmed.reporting.advice.block import advice_block
from dsfedmed.reporting.comparison import comparisons_block
from dsfedmed.reporting.ledger import bytes_block
from dsfedmed.reporting.methods import beyond
from dsfedmed.reporting.record import FIX, Record
from dsfedmed.reporting.summary import cross_block, detected_block, methods_block
from dsfedmed.store.files import write_text

RESULTS_NAME = "results.json"
SCHEMA_NAME = "results.schema.json"
FORMAT = "dsfedmed-results/1"


def build_results(record: Record) -> dict[str, Any]:
    """Return the results of a record; parts the record lacks are null or empty and named in ``missing``."""
    data = record.data
    results: dict[str, Any] = finite(
        {
            "format": FORMAT,
            "name": str(data.get("name") or record.run.name),
            "method": record.method,
            "preset": str(data.get("preset") or "unnamed"),
            "seed": record.seed,
            "verdict": record.verdict,
            "missing": record.missing(),
            "started": data.get("started"),
            "finished": data.get("finished"),
            "sites": list(record.sites),
            "unseen": list(record.unseen),
            "site_names": record.names_that_travel,
            "label_names": [str(name) for name in data.get("label_names") or ()],
            "versions": {str(name): str(value) for name, value in record.mapping("versions").items()},
            "methods": methods_block(record),
            "comparisons": comparisons_block(record),
            "untrained": [key for key in record.untrained if key in record.cases],
            "made_up": list(record.made_up),
            "random_teacher": record.random_teacher,
            "beyond_paper": beyond(record.method, record.mapping("config")),
            "detected": detected_block(record),
            "cross_site": cross_block(record),
            "legacy": record.mapping("legacy"),
            "selected": record.mapping("selected"),
            "privacy": record.mapping("privacy"),
            "branch_privacy": record.mapping("branch_privacy"),
            "bytes": bytes_block(record),
            "stages": stage_seconds(record),
            "parameters": record.mapping("parameters"),
            "inference_ms": record.mapping("inference_ms"),
            "events": [_event(event) for event in record.entries("events")],
        }
    )
    return {**results, "advice": advice_block(results, record)}


def stage_seconds(record: Record) -> dict[str, float]:
    """Return seconds per stage; a stage that was entered more than once counts in sum."""
    seconds: dict[str, float] = {}
    for stage in record.entries("stages"):
        name = str(stage.get("name") or "unnamed")
        seconds[name] = round(seconds.get(name, 0.0) + float(stage.get("seconds") or 0.0), 3)
    return seconds


def load_schema() -> dict[str, Any]:
    """Return the JSON schema of results.json that ships with the package."""
    text = resources.files("dsfedmed.reporting").joinpath(SCHEMA_NAME).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def check_results(results: dict[str, Any], where: Path) -> None:
    """Check results against the schema.

    Raises:
        StoreError: naming the first property that does not fit.
    """
    validator = jsonschema.Draft202012Validator(load_schema())
    error = jsonschema.exceptions.best_match(validator.iter_errors(results))
    if error is not None:
        raise StoreError(f"{where}, {error.json_path}", f"does not fit the schema: {error.message}", FIX)


def write_results(record: Record) -> dict[str, Any]:
    """Build, check and write RUN/results.json in one step (whole or not at all); return what was written."""
    results = build_results(record)
    path = record.run / RESULTS_NAME
    check_results(results, path)
    write_text(path, json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return results


def load_results(run: Path) -> dict[str, Any]:
    """Read and check RUN/results.json.

    Raises:
        StoreError: the file is missing, is not JSON or does not fit the schema.
    """
    path = run / RESULTS_NAME
    if not path.is_file():
        raise StoreError(path, "there are no results", f"Write them with: dsfedmed report {run}")
    try:
        results: dict[str, Any] = read_json(path, OWN_BYTES)
    except (OSError, ValueError) as error:
        raise StoreError(path, f"is not JSON ({error})", f"Write it again with: dsfedmed report {run}") from error
    check_results(results, path)
    return results


def finite(value: Any) -> Any:
    """Replace non-finite floats by None, which JSON can say, at any depth."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _event(event: dict[str, Any]) -> dict[str, Any]:
    """One event with exactly the schema's fields."""
    return {
        "time": event.get("time"),
        "stage": event.get("stage"),
        "round": event.get("round"),
        "site": event.get("site"),
        "kind": str(event.get("kind") or "info"),
        "message": str(event.get("message") or ""),
    }
