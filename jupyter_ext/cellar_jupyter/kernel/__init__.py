"""What runs in the kernel: the `%ai` and `%%ai` magics and their card.

Import is light: the HTTP client, the context builder and ipywidgets are imported by the first question, not by
`%load_ext cellar_jupyter`. The room is split so that each question has one place:

    options.py        the magic's line -> Options, or one readable sentence about what is wrong with it
    interpolation.py  `{variable}`, `{In[3]}`, `{Out[2]}` in the question
    formats.py        what `-f` asks of the model, and what it takes out of the answer
    published.py      the answer as Markdown that no front end can be tricked with
    executed.py       what this kernel has run -> a context part
    endpoint.py       where the model server is: environment, else the workspace server's file; JupyterLab's language
    questions.py      `%ai ... ?` is a question, not IPython's help; `%%ai` with nothing below it is `%ai`
    session.py        one shell's line to the model server, and the life of one question
    dialogue.py       this kernel's earlier questions and answers, its redactions, its token count
    stream.py         the client on a thread of its own; Ctrl-C arrives at once
    asker.py          which kind of front end asks
    display.py        where the answer appears: card, Markdown output, printed text
    card.py           the ipywidgets model behind the card
    words.py          sentences in English and Korean
    magics.py         `%ai` and `%%ai`, which put these together
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext cellar_jupyter`: registers `%ai` and `%%ai`."""
    from .magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext cellar_jupyter`: forgets them, closes the connection."""
    from .magics import unload

    unload(shell)
