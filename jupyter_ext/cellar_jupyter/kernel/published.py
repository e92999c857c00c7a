"""The answer as Markdown that is safe in any front end.

Design note. A cell's own output is trusted: JupyterLab renders the Markdown in it without a sanitizer and runs scripts
it finds. Our card sanitizes, but the same output is read by front ends without it (nbconvert, VS Code, GitHub, a Lab
without the extension), and a model can be talked into an answer by a file it was shown. So what leaves the kernel as
`text/markdown` carries no live HTML, no remote image, no link but to web, mail and relative addresses, and no TeX that
defines a command: the front end's one MathJax would use it for everything else on the page.

Code keeps its meaning. Fenced and inline code that holds something that looks like a tag, an image or an odd link is
written as HTML entities inside `<code>`: inert whatever a parser makes of the fences around it. An answer without such
things stays as the model wrote it, byte for byte.
"""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})([^\n]*)$")
_CODE_SPAN = re.compile(r"(?<![\\`])(`+)(?!`)([^\n]*?[^`\n])\1(?!`)")
_IMAGE = re.compile(r"!(?=\[)")
_LINK = re.compile(r"\](?=\(\s*<?(?!https?://|mailto:|#|/|\.{0,2}/|[\w./%-]+[)\s#?]))", re.IGNORECASE)
_DEFINITION = re.compile(
    r"^([ \t>*+.)\d-]{0,40}\[(?:\\.|[^\]\\\n])+\])(?=:\s*<?(?!https?://|mailto:|#|/))", re.IGNORECASE | re.MULTILINE
)
_MATHS = re.compile(r"\$|\\[(\[]|\\begin")
# What changes the front end's MathJax for good. labextension/src/components/markdown/maths.ts knows the same:
# tests/contract/tex.json holds both to it.
_TEX_DEFINITION = re.compile(
    r"\\(?:(?:[egx]?def|let|futurelet|global|definecolor|usetagform|mathtoolsset|require|setOptions|Newextarrow)(?![a-zA-Z])|(?:(?:re)?new|provide)(?:command|environment|tagform|columntype)|Declare)"
)


def to_published(markdown: str) -> str:
    """`markdown` with everything live made inert; unchanged where there is nothing live in it."""
    if "\r" in markdown:  # the end of a line as well
        markdown = markdown.replace("\r\n", "\n").replace("\r", "\n")
    pieces: list[str] = []
    for is_code, text in _split_fences(markdown):
        if is_code:
            pieces.append(_block(text) if _is_live(text) else text)
        else:
            pieces.append(_prose(text))
    return "".join(pieces)


def _is_live(code: str) -> bool:
    """Would it do something where it is not read as code? A parser may end a fence where we do not, with the list
    item around it for one."""
    return any(live.search(code) for live in (_TAG, _IMAGE, _LINK, _DEFINITION, _TEX_DEFINITION))


def _split_fences(markdown: str) -> list[tuple[bool, str]]:
    """(is a fenced block, its lines), in order; an unfinished fence runs to the end."""
    pieces: list[tuple[bool, list[str]]] = [(False, [])]
    fence = ""
    for line in re.findall(r"[^\n]*\n|[^\n]+", markdown):  # splitlines ends lines where Markdown does not
        match = _FENCE.match(line.rstrip("\r\n"))
        if not fence and match and not (match.group(2)[0] == "`" and "`" in match.group(3)):
            fence = match.group(2)
            pieces.append((True, [line]))
            continue
        pieces[-1][1].append(line)
        closes = match and match.group(2).startswith(fence) and not match.group(3).strip()
        if fence and closes:
            fence = ""
            pieces.append((False, []))
    return [(is_code, "".join(lines)) for is_code, lines in pieces if lines]


def _block(fenced: str) -> str:
    lines = fenced.rstrip("\n").split("\n")
    closed = len(lines) > 1 and _FENCE.match(lines[-1])
    inside = "\n".join(lines[1:-1] if closed else lines[1:])
    return f"<pre><code>{_entities(inside)}</code></pre>\n"


def _prose(text: str) -> str:
    pieces: list[str] = []
    end = 0
    for span in _CODE_SPAN.finditer(text):
        pieces.append(_inert(text[end : span.start()]))
        inside = span.group(2)
        pieces.append(f"<code>{_entities(inside.strip())}</code>" if _is_live(inside) else span.group(0))
        end = span.end()
    pieces.append(_inert(text[end:]))
    return "".join(pieces)


def _inert(text: str) -> str:
    if _MATHS.search(html.unescape(text)):
        text = _TEX_DEFINITION.sub(lambda found: "\\ " + found.group(0)[1:], text)
        if _TEX_DEFINITION.search(html.unescape(text)):  # written with entities
            text = text.replace("&", "&amp;")
    text = _TAG.sub("&lt;", text)
    text = _IMAGE.sub("", text)
    text = _LINK.sub(r"]\\", text)
    return _DEFINITION.sub(r"\1\\", text)


def _entities(code: str) -> str:
    """Every character that Markdown or HTML could read as something else, as a numeric entity."""
    return re.sub(r"[^\w\s]", lambda match: f"&#{ord(match.group(0))};", html.unescape(html.escape(code)))
