# SPDX-License-Identifier: Apache-2.0
"""The server gives memory back that passing tensors leave behind.

NVFlare's context objects refer to each other in circles, so a reply that is done with waits for Python's collector,
which counts objects and not bytes; and freed blocks stay with the allocator of the thread that handled them. With large
tensors both add up with every site and round.
"""

from __future__ import annotations

import threading

from nvflare.fuel.utils.memory_utils import cleanup_memory

ENOUGH_BYTES = 16 * 2**20


class MemoryReleaser:
    """Collects and gives back once enough bytes have passed; small federations never pay for it.

    Args:
        enough: bytes after which it is worth a tenth of a second.
    """

    def __init__(self, enough: int = ENOUGH_BYTES) -> None:
        self.enough = enough
        self._passed = 0
        self._lock = threading.Lock()

    def count(self, size: int) -> bool:
        """Note that ``size`` bytes of tensors are done with; returns whether memory was given back."""
        with self._lock:
            self._passed += size
            if self._passed < self.enough:
                return False
            self._passed = 0
            cleanup_memory()
            return True
