# SPDX-License-Identifier: Apache-2.0
"""A notebook as a page: Markdown with the pictures inside it. The standard library only: `make docs` imports it.

MkDocs takes this file as a hook (``mkdocs.yml``): a notebook in docs/ becomes the page of the same name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SEARCH = 'data-md-component="search" role="dialog"'


def notebook_page(document: dict[str, Any]) -> str:
    """Return a notebook's texts, code and outputs as Markdown; figures carry their title as alternative text."""
    return "\n\n".join(part for cell in document["cells"] for part in _cell(cell)) + "\n"


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            yield f"![{''.join(data['text/plain'])}](data:image/png;base64,{data['image/png']})"
        else:
            yield f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```"


def on_files(files: Any, config: Any) -> Any:
    """Put a page in the place of every notebook (called by MkDocs)."""
    from mkdocs.structure.files import File

    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        document = json.loads(Path(file.abs_src_path).read_text(encoding="utf-8"))
        files.remove(file)
        files.append(
            File.generated(config, f"{file.src_uri.removesuffix('.ipynb')}.md", content=notebook_page(document))
        )
    return files


def on_post_page(output: str, **_: Any) -> str:
    """Name the search box for screen readers, which the theme does not (called by MkDocs)."""
    return output.replace(SEARCH, f'{SEARCH} aria-label="Search"')


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to notebooks lead to their pages (called by MkDocs)."""
    return markdown.replace(".ipynb)", ".md)")
