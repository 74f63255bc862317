"""Tests of system/output/page.py: a page loads nothing and runs nothing but its own script."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from system.output.page import page


class Elements(HTMLParser):
    """The elements of a page and their attributes, and the text of its title."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.found, self._last, self.title = [], "", ""
        self.feed(content)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str]]) -> None:
        self.found.append((tag, dict(attributes)))
        self._last = tag

    def handle_data(self, data: str) -> None:
        self.title += data if self._last == "title" else ""


def policy_of(content: str) -> str:
    return re.search(r'Content-Security-Policy"\s+content="([^"]+)"', content)[1]


def test_a_page_without_a_script_runs_none():
    content = page("title", "<p>body</p>", "p { color: red; }", language="zh")
    assert policy_of(content) == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    found = Elements(content).found
    assert ("html", {"lang": "zh"}) in found
    assert not any(tag == "script" for tag, _ in found)
    assert "<p>body</p>" in content and "p { color: red; }" in content


def test_the_policy_names_the_hash_of_the_script():
    script = 'document.title = "$title";'
    content = page("title", "", script=script)
    assert f"<script>{script}</script>" in content
    expected = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy_of(content).endswith(f"; script-src 'sha256-{expected}'")


def test_a_title_is_text():
    hostile = "</title><script>alert(1)</script>$body"
    elements = Elements(page(hostile, ""))
    assert elements.title.strip() == hostile
    assert not any(tag == "script" for tag, _ in elements.found)
