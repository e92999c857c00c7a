"""`%ai` and `%%ai` in a terminal IPython, against the fake model server on a real socket."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cellar.prompts import FIX_SELECTION
from cellar.settings import ENDPOINT_FILE, KEY_FOR, Endpoint, endpoint_to_json, key_for

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM, ServerOptions
from tests.kernel.conftest import Terminal


def sent(model: FakeVLLM, number: int = -1) -> str:
    """Everything the model read, in one text."""
    return "\n".join(message["content"] for message in model.requests[number].body["messages"])


def one_line(printed: str) -> str:
    """What was printed is one line and no traceback."""
    lines = printed.strip().splitlines()
    assert len(lines) == 1, printed
    return lines[0]


# --- asking


def test_the_answer_is_printed_as_plain_text(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(text="It is 42."))
    assert terminal.run("%ai what is six times seven?") == "It is 42.\n"
    assert "what is six times seven?" in sent(model)


def test_a_question_in_a_cell_keeps_its_lines(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("%%ai\nwhat's this:\n\n    x = {'a': 1}\n")
    assert "what's this:\n\n    x = {'a': 1}" in sent(model)


@pytest.mark.parametrize("question", ["what is x?", "why??", "isn't it?", 'is "this" so?'])
def test_a_question_mark_asks_the_model_not_ipython(terminal: Terminal, model: FakeVLLM, question: str) -> None:
    terminal.run(f"%ai {question}")
    assert question in sent(model)


def test_a_question_mark_behind_the_magic_alone_shows_its_help(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("%ai?")
    assert model.requests == []


def test_dollar_signs_and_foreign_braces_are_sent_as_written(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run('%ai explain f"{x!r}" and ${HOME} and {"a": 1}')
    assert 'explain f"{x!r}" and ${HOME} and {"a": 1}' in sent(model)


def test_escape_sequences_of_a_model_do_not_reach_the_terminal(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(tokens=["red \x1b[31m", "\u202etxet"]))
    printed = terminal.run("%ai hello")
    assert "\x1b" not in printed and "\u202e" not in printed


def test_the_named_model_is_asked(terminal: Terminal, model: FakeVLLM) -> None:
    model.options.models = ["first", "second"]
    terminal.run("%ai -m second hello")
    assert model.requests[-1].body["model"] == "second"


def test_where_another_model_is_served_meanwhile_that_one_is_asked(
    terminal: Terminal, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellar_jupyter.kernel.session.FRESH", 0.0)
    for served in ("old", "new"):
        model.options.models = [served]
        terminal.run("%ai hello")
        assert model.requests[-1].body["model"] == served


def test_a_later_question_sees_the_earlier_ones_until_reset(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(text="Blue."))
    terminal.run("%ai my favourite colour?")
    terminal.run("%ai and again")
    roles = [message["role"] for message in model.requests[-1].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert "Blue." in sent(model)
    terminal.run("%ai reset")
    terminal.run("%ai once more")
    assert "Blue." not in sent(model)


def test_options_behind_fix_are_obeyed_and_not_sent(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("1/0")
    model.use(Scenario(text="Use:\n```python\nx = 1\n```"))
    terminal.run("%ai fix -f code -o mended")
    assert terminal.variable("mended") == "x = 1"
    assert "ZeroDivisionError" in sent(model) and "-o mended" not in sent(model)


def test_a_wrong_option_behind_a_command_is_one_line_and_nothing_is_sent(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("1/0")
    assert one_line(terminal.run("%ai fix -f python")).startswith("There is no format “python”.")
    assert one_line(terminal.run("%%ai fix --fast\n")).startswith("Unknown option --fast.")
    assert model.requests == []


# --- interpolation


def test_values_of_the_kernel_are_filled_in(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("city = 'Busan'; data = {'k': [1, 2]}")
    terminal.run("20 + 22")
    terminal.run("%ai {city} {data['k']} {data['k'][1]} {city.upper} {Out[2]} {In[1]} {{city}}")
    text = sent(model)
    assert "Busan [1, 2] 2" in text
    assert " 42 city = 'Busan'" in text and "{city}" in text


def test_an_unknown_name_is_told_in_one_line_and_nothing_is_sent(terminal: Terminal, model: FakeVLLM) -> None:
    assert "nowhere" in one_line(terminal.run("%ai about {nowhere}"))
    assert "In[99]" in one_line(terminal.run("%ai about {In[99]}"))
    assert model.requests == []


def test_code_below_fix_and_explain_is_sent_byte_for_byte(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("s = 'a secret plan'")
    for command in ("fix", "explain"):
        terminal.run(f'%%ai {command}\ndef f(i):\n    print(f"{{i}}")\n    return {{s}}\n')
        assert terminal.result.success
        assert 'def f(i):\n    print(f"{i}")\n    return {s}' in sent(model)


def test_words_beside_fix_are_a_question_and_filled_in(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("limit = 99")
    terminal.run("%%ai fix for at most {limit} rows\nprint({limit})")
    assert "for at most 99 rows" in sent(model) and "print({limit})" in sent(model)


TRAP = """
class Trap:
    v = property(lambda self: 1 / 0)
    def __getitem__(self, key): raise RuntimeError('no item')
    def __repr__(self): raise ValueError('no words')
trap = Trap()"""


@pytest.mark.parametrize("reference", ["{trap}", "{trap.v}", "{trap[0]}"])
def test_a_value_that_cannot_be_read_is_one_line_and_nothing_is_sent(
    terminal: Terminal, model: FakeVLLM, reference: str
) -> None:
    terminal.run(TRAP)
    assert f"{reference[1:-1]} cannot be read: " in one_line(terminal.run(f"%ai what is {reference}?"))
    assert model.requests == []


def test_a_result_that_cannot_be_printed_is_described_and_prints_no_traceback(
    terminal: Terminal, model: FakeVLLM
) -> None:
    terminal.run(TRAP)
    terminal.run("trap")
    assert terminal.run("%ai hello").endswith("hello\n")
    assert "Traceback" not in terminal.paper.getvalue()
    assert "<Trap object that cannot be printed: ValueError: no words>" in sent(model)


# --- formats and -o


def test_the_answer_is_stored_in_the_variable(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(text="It is 42."))
    terminal.run("%ai -o answer how many?")
    assert terminal.variable("answer") == "It is 42."


def test_code_goes_into_the_next_input_and_the_variable(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(text="Here:\n```python\nx = 1\nprint(x)\n```\n"))
    terminal.run("%ai -f code -o code write it")
    assert terminal.variable("code") == "x = 1\nprint(x)"
    assert terminal.shell.rl_next_input == "x = 1\nprint(x)"


def test_json_is_parsed_and_asked_for(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(text='```json\n{"a": [1, 2]}\n```'))
    terminal.run("%ai -f json -o data a list")
    assert terminal.variable("data") == {"a": [1, 2]}
    assert model.requests[-1].body["response_format"] == {"type": "json_object"}


def test_a_server_without_response_format_is_asked_without_it(terminal: Terminal, model: FakeVLLM) -> None:
    refusal = {"error": {"message": "response_format is not supported", "type": "BadRequestError", "code": 400}}
    model.use(Scenario(status=400, body=refusal, times=1), Scenario(text="[1]"))
    terminal.run("%ai -f json -o data a list")
    assert terminal.variable("data") == [1]
    assert "response_format" not in model.requests[-1].body


def test_an_answer_that_is_no_json_is_told_in_one_line(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(text="I would rather not"))
    printed = terminal.run("%ai -f json -o data a list").splitlines()
    assert printed[0] == "I would rather not" and "JSON" in printed[1] and len(printed) == 2
    assert "data" not in terminal.shell.user_ns


def test_an_answer_of_nothing_is_told_and_stored_nowhere(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("kept = 'before'")
    for line in ("", "-f code", "-f json", "-f html", "-f math", "-f text"):
        model.use(Scenario(tokens=["\n"]))
        assert "answered with nothing" in one_line(terminal.run(f"%ai {line} -o kept hello"))
    assert terminal.variable("kept") == "before"
    assert terminal.shell.rl_next_input is None


def test_a_block_without_code_is_no_next_input(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(text="```python\n```"))
    terminal.run("%ai -f code write it")
    assert terminal.shell.rl_next_input is None


def test_a_part_of_a_json_value_is_not_stored(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(text="12", finish="length"))
    assert "JSON" in terminal.run("%ai -f json -o data a number")
    assert "data" not in terminal.shell.user_ns


def test_every_question_is_bounded(terminal: Terminal, model: FakeVLLM) -> None:
    for line in ("hello", "-f json a list", "fix"):
        terminal.run("1 / 0")
        terminal.run(f"%ai {line}")
        assert 0 < model.requests[-1].body["max_tokens"] <= 4096
    terminal.run("import os; os.environ['CELLAR_MAX_TOKENS'] = '77'")
    terminal.run("%ai hello")
    assert model.requests[-1].body["max_tokens"] == 77


# --- context


def test_what_the_kernel_ran_travels_with_the_question(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("price = 1234")
    terminal.run("price * 2")
    terminal.run("%ai explain")
    assert "price = 1234" in sent(model) and "2468" in sent(model)


def test_no_context_is_sent_when_none_is_wanted(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("price = 1234")
    terminal.run("%ai --context none hello there")
    assert "1234" not in sent(model)


def test_with_no_context_no_earlier_question_travels_either(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("private = 1234")
    model.use(Scenario(text="Blue."))
    terminal.run("%ai my favourite colour?")
    terminal.run("%ai --context none something public")
    assert [message["role"] for message in model.requests[-1].body["messages"]] == ["system", "user"]
    assert "1234" not in sent(model) and "Blue" not in sent(model)
    terminal.run("%ai and again?")
    assert "1234" in sent(model) and "something public" in sent(model)
    assert sent(model).startswith(sent(model, 0))  # the prefix stays


def test_a_cell_that_asks_keeps_its_other_lines(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("%reload_ext cellar_jupyter\nimport math\nVALUE_A = 1")
    terminal.run("VALUE_B = 2\n%ai is it odd?")
    terminal.run("%ai hello there")
    newest = model.requests[-1].body["messages"][-1]["content"]
    assert "VALUE_A = 1" in sent(model) and "VALUE_B = 2" in newest
    assert "%reload_ext" not in sent(model) and "%ai" not in newest


def test_one_cell_is_the_last_one(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("first = 1111")
    terminal.run("second = 2222")
    terminal.run("%ai --context cell hello there")
    assert "2222" in sent(model) and "1111" not in sent(model)


def test_fix_sends_the_last_error_with_its_cell(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("def broken():\n    return 1 / 0\nbroken()")
    terminal.run("%ai fix")
    assert "ZeroDivisionError: division by zero" in sent(model) and "return 1 / 0" in sent(model)


@pytest.mark.parametrize("failing", ["%ai -x", "# note\n%ai -f nope x", "%ai about {nowhere}", "y = 2\n%ai -o 1x q"])
def test_fix_is_about_the_last_error_of_the_users_own(terminal: Terminal, model: FakeVLLM, failing: str) -> None:
    terminal.run("1 / 0  # mine")
    terminal.run(failing)
    assert not terminal.result.success
    terminal.run("%ai fix")
    assert "ZeroDivisionError" in sent(model) and "1 / 0  # mine" in sent(model)
    assert "magics.py" not in sent(model) and "AiHalt" not in sent(model)


def test_an_error_behind_a_question_in_one_cell_is_the_users_own(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("%ai hello\n1 / 0")
    terminal.run("%ai fix")
    assert "ZeroDivisionError" in sent(model)


def test_fix_with_code_below_is_about_that_code(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("1 / 0")
    terminal.run("%%ai fix\nfor i in range(3) print(i)")
    question = model.requests[-1].body["messages"][-1]["content"]
    assert "<ctx-selection" in question and "for i in range(3) print(i)" in question
    assert question.endswith(FIX_SELECTION)
    assert "last error" not in question


def test_fix_without_an_error_says_so(terminal: Terminal, model: FakeVLLM) -> None:
    assert "no error" in one_line(terminal.run("%ai fix"))
    assert model.requests == []


def test_a_secret_of_the_environment_does_not_leave(
    terminal: Terminal, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "correct-horse-battery")
    terminal.run("login = 'correct-horse-battery'")
    printed = terminal.run("%ai is {login} a good password?")
    assert "correct-horse-battery" not in sent(model)
    assert "secret" in sent(model)
    assert "masked" in printed


def test_what_a_cell_printed_travels_and_is_cut_when_it_is_long(terminal: Terminal, model: FakeVLLM) -> None:
    assert terminal.run("print('loss', 0.25)") == "loss 0.25\n"
    terminal.run("import sys; _ = sys.stderr.write('a warning\\n')")
    terminal.run("for row in range(20_000): print('row', row)")
    terminal.run("%ai what was printed?")
    assert "loss 0.25" in sent(model) and "a warning" in sent(model)
    assert "row 0\n" in sent(model) and "row 19999" in sent(model) and "row 10000" not in sent(model)


def test_what_runs_without_a_number_prints_for_no_cell(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.shell.run_cell("print('on the side')", store_history=False)
    terminal.run("print('of the cell')")
    terminal.run("%ai what was printed?")
    assert "<ctx-out stdout>\nof the cell" in sent(model) and "on the side" not in sent(model)


def test_an_answer_is_not_taken_for_what_its_cell_printed(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(text="An answer of its own."))
    terminal.run("x = 1\n%ai --context none what is x?")
    terminal.run("%ai reset")
    model.use(Scenario(text="Another."))
    terminal.run("%ai and now?")
    assert "x = 1" in sent(model) and "An answer of its own." not in sent(model)


# --- stop and failures


def interrupt_after(wait: Callable[[], None]) -> threading.Thread:
    """Ctrl-C as the terminal sends it."""
    # A shell that runs the tests in the background has had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def strike() -> None:
        wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=strike)
    thread.start()
    return thread


def test_an_interrupt_keeps_the_text_and_closes_the_upstream(terminal: Terminal, gated_model: FakeVLLM) -> None:
    gated_model.release(2)
    thread = interrupt_after(lambda: terminal.paper.wait_for("two"))
    printed = terminal.run("%ai -o part count")
    thread.join()
    gated_model.wait_for(lambda m: m.aborted == 1)
    assert printed == "one two\nStopped. The text so far is kept.\n"
    assert terminal.variable("part").split() == ["one", "two"]


def test_an_interrupt_before_the_first_token_closes_the_upstream(terminal: Terminal, silent_model: FakeVLLM) -> None:
    thread = interrupt_after(lambda: silent_model.wait_for(lambda m: m.running == 1))
    printed = terminal.run("%ai anybody there?")
    thread.join()
    silent_model.wait_for(lambda m: m.aborted == 1)
    assert one_line(printed) == "Stopped."


def test_a_stop_before_the_first_token_leaves_the_variable(terminal: Terminal, silent_model: FakeVLLM) -> None:
    terminal.run("kept = 'before'")
    thread = interrupt_after(lambda: silent_model.wait_for(lambda m: m.running == 1))
    terminal.run("%ai -o kept anybody there?")
    thread.join()
    assert terminal.variable("kept") == "before"


def test_after_a_stop_the_kernel_asks_again(terminal: Terminal, silent_model: FakeVLLM) -> None:
    thread = interrupt_after(lambda: silent_model.wait_for(lambda m: m.running == 1))
    terminal.run("%ai anybody there?")
    thread.join()
    silent_model.use(Scenario(text="Yes."))
    assert terminal.run("%ai and now?") == "Yes.\n"


@pytest.mark.parametrize(
    ("scenario", "word"),
    [
        ("rate_limited", "Too many questions"),
        ("quota", "quota"),
        ("unauthorized", "VLLM_API_KEY"),
        ("forbidden", "not allowed"),
        ("loading", "loading"),
        ("queue_full", "busy"),
        ("too_long", "too long"),
        ("broken", "failed"),
        ("stopping", "has stopped. If it starts again by itself, it reads its model for some minutes first"),
        ("no_template", "cannot chat: it has no chat template. Choose another one with -m"),
        ("not_a_stream", "instead of an event stream"),
    ],
)
def test_a_refusal_is_one_readable_line(terminal: Terminal, model: FakeVLLM, scenario: str, word: str) -> None:
    model.use(scenario)
    assert word in one_line(terminal.run("%ai hello"))
    assert terminal.result.success is False


def test_what_came_before_a_failure_is_kept(terminal: Terminal, model: FakeVLLM) -> None:
    model.use("error_in_stream")
    printed = terminal.run("%ai -o part hello").splitlines()
    assert printed[0].startswith("it begins") and "failed" in printed[1]
    assert terminal.variable("part") == printed[0]
    model.use("engine_died")
    printed = terminal.run("%ai -o part hello").splitlines()
    assert printed[0].startswith("it begins") and "The model server has stopped" in printed[1]
    assert terminal.variable("part") == printed[0]


def test_an_answer_that_breaks_off_is_kept_and_told(terminal: Terminal, broken_model: FakeVLLM) -> None:
    printed = terminal.run("%ai -o part hello").splitlines()
    assert printed[0].startswith("this answer") and "cut off" in printed[-1]
    assert terminal.variable("part").startswith("this answer")


def test_nobody_listening_is_told_with_the_address(
    terminal: Terminal, an_unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_BASE_URL", f"http://127.0.0.1:{an_unused_port}/v1")
    assert f":{an_unused_port}/v1" in one_line(terminal.run("%ai hello"))


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("%ai", "question"),
        ("%%ai", "Write a question"),
        ("%%ai  ", "Write a question"),
        ("%%ai -f code\n", "Write a question"),
        ("%ai --frobnicate hello", "--frobnicate"),
        ("%ai -m", "-m"),
        ("%ai -f poem hello", "poem"),
        ("%ai --context world hello", "world"),
        ("%ai -o 1x hello", "1x"),
        ("%ai -m nobody hello", "has no “nobody”. `%ai models`"),
    ],
)
def test_a_line_that_cannot_be_understood_is_one_readable_line(terminal: Terminal, line: str, word: str) -> None:
    assert word in one_line(terminal.run(line))


def test_a_bad_setting_names_the_variable(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_BASE_URL", "not an address")
    assert "VLLM_BASE_URL" in one_line(terminal.run("%ai hello"))


@pytest.mark.parametrize(("language", "hint"), [("en", "end in /v1"), ("ko", "/v1로 끝나는지")])
def test_a_base_url_without_v1_is_told_with_what_is_missing(
    terminal: Terminal, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch, language: str, hint: str
) -> None:
    bare = model.url.removesuffix("/v1")
    monkeypatch.setenv("VLLM_BASE_URL", bare)
    monkeypatch.setenv("CELLAR_LANG", language)
    for line in ("%ai hello", "%ai models"):
        told = one_line(terminal.run(line))
        assert bare in told and hint in told


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "The model server cannot be reached ({url}). Is it running, and is VLLM_BASE_URL right?"),
        ("ko", "모델 서버에 연결할 수 없습니다 ({url}). 서버가 실행 중인지, VLLM_BASE_URL이 맞는지 확인하세요."),
    ],
)
def test_a_server_that_is_down_is_told_with_what_helps(
    terminal: Terminal, an_unused_port: int, monkeypatch: pytest.MonkeyPatch, language: str, line: str
) -> None:
    url = f"http://127.0.0.1:{an_unused_port}/v1"
    monkeypatch.setenv("VLLM_BASE_URL", url)
    monkeypatch.setenv("CELLAR_LANG", language)
    assert one_line(terminal.run("%ai hello")) == line.format(url=url)


def test_a_setting_changed_in_the_running_kernel_counts_from_the_next_question(
    terminal: Terminal, model: FakeVLLM, an_unused_port: int
) -> None:
    terminal.run("%ai hello")
    model.options = ServerOptions(api_key="sk-right-key-0123456789", models=["first", "second"])
    terminal.run("import os; os.environ['VLLM_API_KEY'] = 'sk-right-key-0123456789'")
    terminal.run("os.environ['CELLAR_MODEL'] = 'second'")
    assert "hello again" in terminal.run("%ai --context none hello again")
    assert model.requests[-1].body["model"] == "second"
    terminal.run(f"os.environ['VLLM_BASE_URL'] = 'http://127.0.0.1:{an_unused_port}/v1'")
    assert f":{an_unused_port}/v1" in one_line(terminal.run("%ai hello"))
    terminal.run(f"os.environ['VLLM_BASE_URL'] = '{model.url}'")
    assert "and back" in terminal.run("%ai --context none and back")


def test_a_cell_magic_with_nothing_below_is_its_line(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("%%ai what is a kernel?")
    assert "what is a kernel?" in sent(model)
    assert "Ask the model" in terminal.run("%%ai help")


def test_a_terminal_waits_for_the_lines_below_a_cell_magic(terminal: Terminal) -> None:
    assert terminal.shell.check_complete("%%ai")[0] == "incomplete"


# --- reports


def test_models_are_listed_with_their_context(terminal: Terminal, model: FakeVLLM) -> None:
    printed = terminal.run("%ai models")
    assert "fake-coder: 32,768 tokens" in printed and model.url in printed


def test_usage_adds_up_what_the_server_reported(terminal: Terminal, model: FakeVLLM) -> None:
    model.use(Scenario(text="one two three", prompt_tokens=1500, cached_tokens=1000))
    terminal.run("%ai hello")
    terminal.run("%ai hello")
    printed = terminal.run("%ai usage")
    assert "Answers here: 2. Tokens: 3,000 sent (2,000 cached)" in printed


def test_usage_estimates_what_a_stopped_answer_cost(terminal: Terminal, gated_model: FakeVLLM) -> None:
    gated_model.release(2)
    thread = interrupt_after(lambda: terminal.paper.wait_for("two"))
    terminal.run("%ai count")
    thread.join()
    printed = terminal.run("%ai usage")
    assert "Answers here: 1. Tokens:" in printed
    assert " 0 sent" not in printed and " 0 received" not in printed


ME = {
    "user": "kim",
    "day": {"spent": {}, "resets_at": 0},
    "month": {"spent": {}, "resets_at": 0},
    "destinations": [{"name": "warehouse.corp", "port": 5432}, {"name": "git.corp", "port": 443, "ready": False}],
}


def test_usage_names_what_the_workspace_may_reach(
    terminal: Terminal, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLAR_GATEWAY", "1")
    model.options = ServerOptions(me=ME)
    printed = terminal.run("%ai usage")
    assert "From this workspace you may reach: warehouse.corp:5432." in printed
    assert "not reachable now: git.corp:443." in printed


def test_usage_is_told_also_when_the_gateway_is_away(
    terminal: Terminal, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLAR_GATEWAY", "1")
    printed = terminal.run("%ai usage")
    assert "Answers here: 0." in printed and "may reach" not in printed


def test_a_question_that_failed_is_no_answer(terminal: Terminal, model: FakeVLLM) -> None:
    model.use("broken")
    terminal.run("%ai hello")
    assert "Answers here: 0." in terminal.run("%ai usage")


def test_help_is_in_the_users_language(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Ask the model" in terminal.run("%ai help")
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    assert "질문합니다" in terminal.run("%ai help")
    monkeypatch.setenv("CELLAR_LANG", "en")
    assert "Ask the model" in terminal.run("%ai --help")


def test_a_key_is_sent_and_never_printed(terminal: Terminal, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    model.options = ServerOptions(api_key="sk-right-key-0123456789")
    monkeypatch.setenv("VLLM_API_KEY", "sk-right-key-0123456789")
    assert "hello" in terminal.run("%ai hello")


def test_a_servers_key_is_not_sent_to_an_address_set_in_the_kernel(
    terminal: Terminal, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Endpoint(base_url="http://127.0.0.1:9/v1", api_key="sk-of-the-server-0123456789")
    monkeypatch.setenv("VLLM_API_KEY", server.api_key)
    monkeypatch.setenv(KEY_FOR, key_for(server))
    terminal.run(f"import os; os.environ['VLLM_BASE_URL'] = '{model.url}'")
    assert "hello" in terminal.run("%ai hello")
    assert not any("authorization" in request.headers for request in model.requests)
    model.options = ServerOptions(api_key="sk-right-key-0123456789")
    assert "Set VLLM_API_KEY, too" in one_line(terminal.run("%ai hello"))
    terminal.run("os.environ['VLLM_API_KEY'] = 'sk-right-key-0123456789'")
    assert "hello" in terminal.run("%ai hello")


def test_explain_points_at_the_cell_that_ran_last(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("total = sum(range(10))")
    terminal.run("%ai explain")
    question = model.requests[-1].body["messages"][-1]["content"]
    assert "total = sum(range(10))" in question and "xplain" in question


def test_code_below_explain_is_what_is_explained(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("%%ai explain\nlambda x: x")
    assert "lambda x: x" in sent(model)


def test_without_variables_the_server_s_endpoint_file_says_where_the_model_is(
    terminal: Terminal, model: FakeVLLM, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model.options = ServerOptions(api_key="sk-from-the-file-0123456789")
    monkeypatch.delenv("VLLM_BASE_URL")
    file = tmp_path / "runtime" / ENDPOINT_FILE
    file.parent.mkdir()
    file.write_bytes(endpoint_to_json(Endpoint(base_url=model.url, api_key="sk-from-the-file-0123456789")))
    assert terminal.run("%ai hello there").startswith("hello there")


def test_a_broken_repr_and_a_huge_result_do_not_break_the_question(terminal: Terminal, model: FakeVLLM) -> None:
    terminal.run("class Odd:\n    def __repr__(self): raise ValueError('no')\nodd = Odd()")
    terminal.run("'x' * 100_000")
    terminal.run("%ai hello there")
    assert len(sent(model)) < 40_000
    assert terminal.result.success
