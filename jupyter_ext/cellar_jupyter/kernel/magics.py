"""`%ai` and `%%ai`.

A cell that fails has failed: a question that got no answer, or was stopped, ends its cell as an error, so that Run All
and nbconvert stop there. The error is one readable line; `AiHalt` is what IPython shows instead of a traceback.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cellar.errors import CellarError, Unauthorized
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from . import questions
from .endpoint import chosen_language
from .interpolation import interpolate
from .options import Options, UsageError, parse_line
from .words import AiHalt, Spoken, Words, language_of

if TYPE_CHECKING:
    from cellar import wire
    from IPython.core.interactiveshell import InteractiveShell

    from .display import Answer
    from .session import Session


@magics_class
class AiMagics(Magics):
    """One per shell. The session (client, conversation) is made by the first question."""

    def __init__(self, shell: InteractiveShell) -> None:
        from .executed import Executed

        super().__init__(shell)
        self._shell = shell
        self._executed = Executed(shell)
        self._session: Session | None = None

    @no_var_expand  # IPython would replace {braces} and $names by its own rules before we see them
    @line_cell_magic
    def ai(self, line: str, cell: str | None = None) -> None:
        """Ask the model: `%ai help` explains."""
        words = Words(language_of(os.environ, chosen_language(os.environ)))
        try:
            options = parse_line(line, cell)
            if options.command == "help":
                _print(words.say("help"))
            else:
                self._run(options, words)
        except Spoken as error:
            raise AiHalt(words.say(error.key, **error.values)) from None
        except KeyboardInterrupt:
            raise AiHalt(words.say("stopped_empty")) from None
        except CellarError as error:
            session = self._session
            if isinstance(error, Unauthorized) and session is not None and session.key_withheld:
                raise AiHalt(words.say("key_withheld", url=session.url)) from None
            raise AiHalt(words.error(error, session.url if session is not None else "")) from None

    def close(self) -> None:
        self._executed.forget()
        if self._session is not None:
            self._session.close()

    def _run(self, options: Options, words: Words) -> None:
        session = self._open_session()
        if options.command == "models":
            _print(session.describe_models(words))
        elif options.command == "usage":
            _print(session.describe_usage(words))
        elif options.command == "reset":
            session.reset()
            _print(words.say("forgotten"))
        else:
            answer, failure = session.ask(options, self._question(options), self._parts(options), words)
            self._use(answer, options, failure)

    def _open_session(self) -> Session:
        from .session import Session

        if self._session is None:
            self._session = Session(self._shell, os.environ)
        return self._session

    def _question(self, options: Options) -> str:
        from cellar.prompts import FIX_SELECTION

        names = {**self._shell.user_ns, "In": self._executed.sources()}
        text = interpolate(options.text, names, self._show)
        if options.command == "ask":
            return text
        if options.command == "fix" and options.code:
            return f"{FIX_SELECTION}\n\nThe user adds: {text}" if text else FIX_SELECTION
        return f"/{options.command} {text}".strip()

    def _parts(self, options: Options) -> list[wire.ContextPart]:
        """`fix` points at the last error, `explain` at the last cell, both at the code below them if there is any."""
        from .executed import code_part

        found: list[wire.ContextPart | None] = []
        if options.context == "notebook":
            found.append(self._executed.notebook_part())
        if options.code:
            found.append(code_part(options.code))
        elif options.command == "fix":
            error = self._executed.error_part()
            if error is None:
                raise UsageError("no_error")
            found.append(error)
        elif options.command == "explain":
            last = self._executed.last_cell_part()
            if last is None:
                raise UsageError("nothing_run")
            found.append(last)
        if options.context == "cell" and (options.code or options.command == "ask"):
            found.append(self._executed.last_cell_part())
        return [part for part in found if part is not None]

    def _use(self, answer: Answer, options: Options, failure: CellarError | None) -> None:
        """What `-o` and `-f code` do with the answer. A part of one is stored as well, but no part of a JSON value;
        nothing takes the place of what the variable was."""
        from .formats import value_of

        whole = answer.state in ("complete", "length")
        empty = not answer.text.strip()
        if not empty and (answer.state == "complete" or options.format != "json"):
            try:
                value = value_of(answer.text, options.format)
            except ValueError:
                raise UsageError("not_json") from None
            if options.output is not None:
                self._shell.user_ns[options.output] = value
            if options.format == "code" and whole and value:
                self._shell.set_next_input(value, replace=False)
        elif whole and not empty:
            raise UsageError("not_json")
        if failure is not None:
            raise failure
        if empty or not whole:
            raise Spoken(f"{answer.state}_empty" if empty else answer.state)

    def _show(self, value: object) -> str:
        from .executed import show_value

        return show_value(self._shell, value)


_LOADED: dict[int, AiMagics] = {}  # by shell; a second %load_ext (or a reload) replaces


def load(shell: InteractiveShell) -> None:
    unload(shell)
    magics = _LOADED[id(shell)] = AiMagics(shell)
    shell.register_magics(magics)
    questions.add_to(shell)


def unload(shell: InteractiveShell) -> None:
    magics = _LOADED.pop(id(shell), None)
    if magics is not None:
        questions.remove_from(shell)
        magics.close()
        for kind in ("line", "cell"):
            table: dict[str, Any] = shell.magics_manager.magics[kind]
            table.pop("ai", None)


def _print(text: str) -> None:
    print(text)  # noqa: T201  # what a magic prints is its output
