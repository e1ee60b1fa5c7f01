# SPDX-License-Identifier: Apache-2.0
"""The job's own filter at a site: packs updates for the wire, behind every filter of the hospital.

NVFlare applies the filters of a site's ``privacy.json`` before those of the job (its ``get_filters``), so a hospital's
clipping, noise or exclusion works on the plain differences, and rounding comes last.

There is no filter at the server to undo it: one that raises there makes NVFlare drop the reply without a reason, and it
cannot know which names and shapes are due. Updates are unpacked where that is known
(`dsfedmed.federated.server.averaging`), and a damaged one is refused with its site named.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.dxo_filter import DXOFilter
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from torch import Tensor

from dsfedmed.errors import DSFedMedError
from dsfedmed.federated.site.uplink import pack_update
from dsfedmed.federated.wire.message import Message, error_message
from dsfedmed.flare.codec import SEAL, open_meta, sealed_meta
from dsfedmed.flare.site_folder import site_folder


class PackUpdates(DXOFilter):  # type: ignore[misc]
    """Packs the differences that a task marked as an update (see `dsfedmed.federated.site.uplink`) and seals them.

    Sealed means that byte count and SHA-256 in the header are those of what leaves the site, so that the server can
    check them before it unpacks anything.
    """

    def __init__(self) -> None:
        kinds = [DataKind.WEIGHT_DIFF]
        super().__init__(supported_data_kinds=kinds, data_kinds_to_filter=kinds)

    def process_dxo(self, dxo: DXO, shareable: Shareable, fl_ctx: FLContext) -> DXO | None:  # noqa: ARG002 (NVFlare's)
        """Pack an update; anything else passes. An error becomes a reply that the server refuses by its reason."""
        site = fl_ctx.get_identity_name()
        try:
            info, _ = open_meta(dxo.meta.get(SEAL), site)
            message = Message(info, {name: _tensor(value) for name, value in dxo.data.items()}, True)
            packed = pack_update(message, site, site_folder(fl_ctx))
            if packed is message:
                return None
        except DSFedMedError as error:
            self.log_error(fl_ctx, str(error))
            packed = replace(error_message(error, site), is_difference=True)
        meta = {**dxo.meta, SEAL: sealed_meta(packed, is_last=True)}
        return DXO(DataKind.WEIGHT_DIFF, data=packed.tensors, meta=meta)


def _tensor(value: Any) -> Tensor:
    """Return a float32 tensor; some of NVFlare's privacy filters leave NumPy arrays behind."""
    return torch.as_tensor(value).to(torch.float32)
