# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dsfedmed_benchmarks.tutorial.page import notebook_page, on_page_markdown

CELLS = [
    {"cell_type": "markdown", "source": ["# Title\n", "Words."]},
    {
        "cell_type": "code",
        "source": ["print(1)\n", "2"],
        "outputs": [
            {"output_type": "stream", "text": ["1\n"]},
            {"output_type": "execute_result", "data": {"text/plain": ["2"]}},
            {"output_type": "display_data", "data": {"image/png": "QUJD", "text/plain": ["a picture"]}},
        ],
    },
]
PAGE = """# Title
Words.

```python
print(1)
2
```

```text
1
```

```text
2
```

![a picture](data:image/png;base64,QUJD)
"""


def test_by_hand() -> None:
    assert notebook_page({"cells": CELLS}) == PAGE


def test_links_lead_to_pages() -> None:
    assert on_page_markdown("[a](tutorials/a.ipynb), [b](b.md)", page=None) == "[a](tutorials/a.md), [b](b.md)"
