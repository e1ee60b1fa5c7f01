# SPDX-License-Identifier: Apache-2.0
"""Resident memory of this process, from Linux's /proc."""

from __future__ import annotations

import re
from pathlib import Path

from dsfedmed.errors import ConfigError

MIB = 2**20
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def resident_mib() -> float:
    """Return the memory that is resident now, in MiB."""
    return _read("VmRSS")


def peak_mib() -> float:
    """Return the highest resident memory since the start or since `reset_peak`, in MiB."""
    return _read("VmHWM")


def reset_peak() -> None:
    """Let the peak start again at what is resident now."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError as error:
        raise ConfigError(_CLEAR, f"cannot be written ({error})", "Run this benchmark on Linux") from error


def _read(key: str) -> float:
    try:
        found = re.search(rf"^{key}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), flags=re.MULTILINE)
    except OSError as error:
        raise ConfigError(_STATUS, f"cannot be read ({error})", "Run this benchmark on Linux") from error
    if found is None:
        raise ConfigError(_STATUS, f"does not name {key}", "Run this benchmark on Linux")
    return int(found[1]) * 1024 / MIB
