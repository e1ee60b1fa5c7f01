# SPDX-License-Identifier: Apache-2.0
"""MONAI Label's web application, with errors that say what is wrong and a page that shows masks (``/viewer``)."""

from __future__ import annotations

import importlib.resources
import logging
from collections.abc import Iterator

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse
from monailabel.app import app
from monailabel.interfaces.exception import (
    ImageNotFoundException,
    LabelNotFoundException,
    MONAILabelError,
    MONAILabelException,
)

from dsfedmed.errors import CheckpointError, DSFedMedError

logger = logging.getLogger(__name__)
NOT_FOUND, UNUSABLE, FAILED = 404, 422, 500


def status_and_text(error: BaseException) -> tuple[int, str]:
    """Return the HTTP status and the sentence that answers an exception: the clearest one in its chain."""
    for cause in _chain(error):
        if isinstance(cause, CheckpointError):
            return FAILED, str(cause)
        if isinstance(cause, DSFedMedError):
            return UNUSABLE, str(cause)
        if isinstance(cause, (ImageNotFoundException, LabelNotFoundException)):
            return NOT_FOUND, cause.msg
        if isinstance(cause, MONAILabelException):
            return (NOT_FOUND if cause.error == MONAILabelError.INVALID_INPUT else FAILED), cause.msg
    return FAILED, f"{type(error).__name__}: {error}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _respond(request: Request, error: Exception) -> JSONResponse:
    status, text = status_and_text(error)
    logger.warning("%s %s: %s", request.method, request.url.path, text)
    return JSONResponse({"detail": text}, status_code=status)


def _viewer() -> HTMLResponse:
    page = importlib.resources.files("dsfedmed.label") / "viewer.html"
    return HTMLResponse(page.read_text(encoding="utf-8"))


for kind in (DSFedMedError, MONAILabelException, Exception):
    app.add_exception_handler(kind, _respond)
app.add_api_route("/viewer", _viewer, methods=["GET"], include_in_schema=False)
