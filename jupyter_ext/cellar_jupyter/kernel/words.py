"""Sentences of the magics, in English and Korean.

The kernel has no translator of its own and runs where JupyterLab's is not (terminals, nbconvert), so this is a plain
table. `CELLAR_LANG` decides, else the language chosen in JupyterLab, else `LANG`. An error is worded by the `code` of
its class in `cellar.errors`; a test fails for a class without a sentence here. The errors' own messages are English
sentences: an English line that would only say the same is the message itself, and Korean lines do without it, but for
what a server's policy says, which is the server's own word. Behind the sentence stands what helps: the error's own hint
(in Korean by `KOREAN_HINTS`; a test fails for one that is missing there), else what the magics advise for its code.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from cellar.errors import CellarError
from cellar.settings import PROBLEMS

ENGLISH: dict[str, str] = {
    # what the user wrote
    "unknown_option": "Unknown option {option}. `%ai help` lists them.",
    "option_needs_value": "Option {option} needs a value.",
    "bad_format": "There is no format “{value}”. Choose one of: {allowed}.",
    "bad_context": "There is no context “{value}”. Choose one of: {allowed}.",
    "bad_variable": "“{value}” cannot be a variable's name, for -o.",
    "no_question": "Write a question behind %ai, or below %%ai. `%ai help` shows how.",
    "unknown_name": "There is no “{name}” in this kernel. Put code between `backticks`, or write {{{{…}}}} for braces.",
    "unreadable_value": "{name} cannot be read: {problem}",
    "no_error": "There is no error in this kernel to fix.",
    "nothing_run": "This kernel has run nothing yet that could be explained.",
    "no_model": "The model server offers no model.",
    **{
        f"setting_{code}": f"The settings of the model server cannot be read: {{name}} {problem}"
        for code, problem in PROBLEMS.items()
    },
    "not_json": "The answer is no valid JSON; nothing was stored. Ask again, or use -f text.",
    "complete_empty": "The model answered with nothing. Ask again, or in other words.",
    # how a question ended
    "stopped": "Stopped. The text so far is kept.",
    "stopped_empty": "Stopped.",
    "interrupted": "The answer was cut off before its end.",
    "interrupted_empty": "The answer was cut off before its first word.",
    "length": "The answer reached its length limit.",
    "length_empty": "The answer reached its length limit before its first word.",
    "queued": "Waiting for the model: {ahead} ahead",
    "masked": "Secrets masked before sending: {count}.",
    "left_out": "Left out, because it did not fit: {labels}.",
    "cut": "Shortened to fit: {labels}.",
    "left_out_turns": "Oldest questions left out: {count}.",
    "forgotten": "The conversation of this kernel begins anew.",
    # %ai models, %ai usage
    "models_title": "Models of {url}",
    "models_row": "{id}: {context:,} tokens of context",
    "models_row_unknown": "{id}: context length not told",
    "default": "used unless -m names another",
    "usage": "Answers here: {questions}. Tokens: {prompt:,} sent ({cached:,} cached), {completion:,} received.",
    "usage_unknown": "Answers here: {questions}. The model server does not report tokens.",
    "destinations": "From this workspace you may reach: {listed}.",
    "destinations_not_ready": "Yours, but not reachable now: {listed}. Please tell your administrator.",
    # errors of the model server, by code
    "retry": "{sentence} (~{seconds} s)",
    "internal": "Something went wrong in Cellar: {message}",
    "model_error": "{message}",
    "model_down": "{fact} ({url}).",
    "model_stopped": (
        "The model server has stopped. If it starts again by itself, it reads its model for some minutes first: "
        "ask again then."
    ),
    "model_loading": "The model is still loading. Try again in a moment.",
    "model_timeout": "The model server did not answer in time.",
    "model_not_found": "The server does not have this model. `%ai models` lists what it has.",
    "no_model_named": "The model server has no “{model}”. `%ai models` lists what it has.",
    "context_too_long": "The question is too long for this model.",
    "context_too_long_advice": "Try --context none, or `%ai reset`.",
    "no_vision": "This model does not see pictures. Choose another one with -m.",
    "queue_full": "The model is busy and its queue is full. Try again shortly.",
    "rate_limited": "Too many questions in a short time. Try again shortly.",
    "quota_exceeded": "Your token quota is used up.",
    "quota_until": "Your token quota is used up until {time}.",
    "unauthorized": "The model server does not accept the key. Check VLLM_API_KEY.",
    "key_withheld": "The Jupyter server's key is not sent to {url}: it is for another address. Set VLLM_API_KEY, too.",
    "forbidden": "You are not allowed to do this: {message}",
    "forbidden_untold": "The model server does not allow this.",
    "request_refused": "{message}",
    "no_chat_template": (
        "This model completes text and cannot chat: it has no chat template. Choose another one with -m, or tell the "
        "people who run the model server."
    ),
    "no_such_address": "There is no model's API at {url} (HTTP 404).",
    "model_failed": "{message}",
    "bad_request": "The question could not be sent: {message}",
    "too_large": "The question is too large to send.",
    "not_found": "{message}",
    "conflict": "Not possible now: {message}",
    "outside_workspace": "This path leads out of the workspace.",
    "unreadable": "This cannot be read as text: {message}",
    "disk_refused": "{message}",
    "help": """\
Ask the model from a cell or a terminal.

    %ai QUESTION              ask on one line
    %%ai                      ask in a cell: the question stands below
    %ai fix                   explain and repair the last error
    %ai explain               explain the cell that ran last
    %%ai fix  /  %%ai explain  the same for the code below
    %ai models                models and the context they read
    %ai usage                 tokens this kernel has used; on a hub also what your workspace may reach
    %ai reset                 forget the conversation of this kernel
    %ai help                  this text

Options, before the question or behind a command word (%ai fix -f code); -- ends them:
    -m MODEL                  which model answers
    -f FORMAT                 text, markdown, code, json, html or math. code also goes into the next cell. html is shown
                              as source: render it with IPython.display.HTML yourself if you trust it
    -o VARIABLE               store the answer: its text, its code, or the parsed JSON; of a stopped answer what came
    --context SCOPE           notebook (default): what this kernel has run, with results and the last error
                              cell: only what ran last    none: nothing but the question, no earlier ones either

{{name}}, {{name.attribute}}, {{In[3]}} and {{Out[2]}} in a question are replaced by values of this kernel;
{{{{name}}}} stays as {{name}}, and so does everything between `backticks`, in fenced code, and below %%ai fix and
%%ai explain. Questions see the earlier ones of this kernel. Keys, passwords and the values of secret environment
variables are masked before anything leaves. VLLM_BASE_URL in os.environ names another model server; it does not get the
Jupyter server's key: set VLLM_API_KEY, too. Stop with the Stop button or Ctrl-C; the text so far is kept.""",
}

KOREAN: dict[str, str] = {
    "unknown_option": "알 수 없는 옵션입니다: {option}. `%ai help`에서 목록을 볼 수 있습니다.",
    "option_needs_value": "{option} 옵션에는 값이 필요합니다.",
    "bad_format": "“{value}” 형식은 없습니다. 다음 중에서 고르세요: {allowed}.",
    "bad_context": "“{value}” 컨텍스트는 없습니다. 다음 중에서 고르세요: {allowed}.",
    "bad_variable": "“{value}”은(는) -o에 쓸 수 있는 변수 이름이 아닙니다.",
    "no_question": "%ai 뒤나 %%ai 아래에 질문을 쓰세요. 사용법은 `%ai help`에 있습니다.",
    "unknown_name": "이 커널에 ‘{name}’라는 이름이 없습니다. 코드는 `백틱`으로 감싸고, 중괄호는 {{{{…}}}}로 쓰세요.",
    "unreadable_value": "‘{name}’ 값을 읽을 수 없습니다: {problem}",
    "no_error": "이 커널에는 고칠 오류가 없습니다.",
    "nothing_run": "이 커널에서 아직 설명할 만한 코드를 실행하지 않았습니다.",
    "no_model": "모델 서버에 사용할 수 있는 모델이 없습니다.",
    "setting_address": "모델 서버 설정 오류: {name}의 값은 http://localhost:8001/v1 같은 주소여야 합니다.",
    "setting_user": "모델 서버 설정 오류: {name}에 사용자나 비밀번호를 넣지 마세요. 키는 VLLM_API_KEY에 넣습니다.",
    "setting_query": "모델 서버 설정 오류: {name}의 주소에는 ?나 # 뒷부분이 없어야 합니다.",
    "setting_key": "모델 서버 설정 오류: {name}의 키는 영문자, 숫자, 기호로 된 한 줄이어야 합니다.",
    "setting_switch": "모델 서버 설정 오류: {name}의 값은 0 또는 1이어야 합니다.",
    "setting_count": "모델 서버 설정 오류: {name}의 값은 0 이상의 정수여야 합니다.",
    "setting_seconds": "모델 서버 설정 오류: {name}의 값은 0보다 큰 초 단위의 수여야 합니다.",
    "setting_file": "모델 서버 설정 오류: {name} 파일이 올바르지 않습니다. Jupyter 서버를 다시 시작하면 새로 만듭니다.",
    "complete_empty": "모델이 빈 답변을 보냈습니다. 다시 질문하거나 질문을 바꾸어 보세요.",
    "not_json": "답변이 올바른 JSON이 아니어서 저장하지 않았습니다. 다시 질문하거나 -f text를 사용하세요.",
    "stopped": "중지했습니다. 지금까지 받은 내용은 그대로 남아 있습니다.",
    "stopped_empty": "중지했습니다.",
    "interrupted": "답변이 끝나기 전에 끊겼습니다.",
    "interrupted_empty": "답변이 시작되기 전에 끊겼습니다.",
    "length": "답변이 길이 제한에 도달했습니다.",
    "length_empty": "답변이 시작되기 전에 길이 제한에 도달했습니다.",
    "queued": "모델을 기다리는 중입니다: 앞에 {ahead}건",
    "masked": "보내기 전에 가린 민감 정보: {count}건.",
    "left_out": "공간이 부족하여 제외한 항목: {labels}.",
    "cut": "길이에 맞추어 줄인 항목: {labels}.",
    "left_out_turns": "제외한 오래된 질문: {count}개.",
    "forgotten": "이 커널의 대화를 새로 시작합니다.",
    "models_title": "{url} 모델 목록",
    "models_row": "{id}: 컨텍스트 {context:,}토큰",
    "models_row_unknown": "{id}: 컨텍스트 길이 알 수 없음",
    "default": "-m으로 지정하지 않으면 사용",
    "usage": "이 커널: 답변 {questions}개, 보낸 토큰 {prompt:,}개(캐시 {cached:,}개 포함), 받은 토큰 {completion:,}개.",
    "usage_unknown": "이 커널: 답변 {questions}개. 모델 서버가 토큰 수를 알려 주지 않습니다.",
    "destinations": "이 작업 공간에서 연결할 수 있는 곳: {listed}.",
    "destinations_not_ready": "허용되었지만 지금은 연결할 수 없는 곳: {listed}. 관리자에게 알려 주세요.",
    "retry": "{sentence} (약 {seconds}초 후)",
    "internal": "Cellar에 문제가 생겼습니다{status}.",
    "model_error": "모델 서버에 문제가 있습니다{status}.",
    "model_down": "모델 서버에 연결할 수 없습니다 ({url}).",
    "model_stopped": (
        "모델 서버가 멈췄습니다. 자동으로 다시 시작되면 모델을 불러오는 데 몇 분이 걸리니 그 후에 다시 질문하세요."
    ),
    "model_loading": "모델을 불러오는 중입니다. 잠시 후 다시 시도하세요.",
    "model_timeout": "모델 서버가 제시간에 응답하지 않았습니다.",
    "model_not_found": "서버에 해당 모델이 없습니다. `%ai models`에서 목록을 볼 수 있습니다.",
    "no_model_named": "모델 서버에 “{model}” 모델이 없습니다. `%ai models`에서 목록을 볼 수 있습니다.",
    "context_too_long": "질문이 이 모델에 비해 너무 깁니다.",
    "context_too_long_advice": "--context none 또는 `%ai reset`을 사용해 보세요.",
    "no_vision": "이 모델은 이미지를 볼 수 없습니다. -m으로 다른 모델을 선택하세요.",
    "queue_full": "모델이 바쁘고 대기열이 가득 찼습니다. 잠시 후 다시 시도하세요.",
    "rate_limited": "짧은 시간에 질문이 너무 많았습니다. 잠시 후 다시 시도하세요.",
    "quota_exceeded": "토큰 할당량을 모두 사용했습니다.",
    "quota_until": "토큰 할당량을 모두 사용했습니다. {time} 이후에 다시 사용할 수 있습니다.",
    "unauthorized": "모델 서버가 키를 받아들이지 않습니다. VLLM_API_KEY를 확인하세요.",
    "key_withheld": "Jupyter 서버의 키는 다른 주소의 키여서 {url} 주소로 보내지 않습니다. VLLM_API_KEY도 설정하세요.",
    "forbidden": "허용되지 않은 작업입니다. 서버의 설명: “{message}”",
    "forbidden_untold": "모델 서버가 이 작업을 허용하지 않습니다.",
    "request_refused": "모델 서버가 질문을 거부했습니다{status}.",
    "no_chat_template": (
        "이 모델은 텍스트를 이어 쓰기만 하고 대화는 할 수 없습니다(대화 템플릿이 없음). -m으로 다른 모델을 선택하거나 "
        "모델 서버 관리자에게 알려 주세요."
    ),
    "no_such_address": "이 주소에 모델 API가 없습니다: {url} (HTTP 404).",
    "model_failed": "모델 서버에서 오류가 발생했습니다{status}.",
    "bad_request": "질문을 보낼 수 없습니다{status}.",
    "too_large": "질문이 너무 커서 보낼 수 없습니다.",
    "not_found": "찾을 수 없습니다{status}.",
    "conflict": "지금은 할 수 없습니다{status}.",
    "outside_workspace": "작업 공간 밖의 경로입니다.",
    "unreadable": "텍스트로 읽을 수 없습니다.",
    "disk_refused": "디스크에 쓸 수 없습니다.",
    "help": """\
셀이나 터미널에서 모델에 질문합니다.

    %ai 질문                  한 줄로 질문합니다
    %%ai                      셀에서 질문합니다. 질문은 아래 줄에 씁니다
    %ai fix                   마지막 오류를 설명하고 고칩니다
    %ai explain               마지막으로 실행한 셀을 설명합니다
    %%ai fix  /  %%ai explain  아래에 쓴 코드에 대해 같은 일을 합니다
    %ai models                모델과 컨텍스트 길이
    %ai usage                 이 커널이 사용한 토큰. 허브에서는 작업 공간에서 연결할 수 있는 곳도
    %ai reset                 이 커널의 대화를 잊습니다
    %ai help                  이 도움말

옵션은 질문 앞이나 명령어 뒤(%ai fix -f code)에 씁니다. -- 뒤는 옵션이 아닙니다.
    -m MODEL                  답할 모델
    -f FORMAT                 text, markdown, code, json, html, math. code는 다음 셀에도 넣습니다. html은 소스로만
                              보여 줍니다. 신뢰할 수 있다면 IPython.display.HTML로 직접 표시하세요
    -o VARIABLE               답변(텍스트, 코드 또는 해석한 JSON)을 변수에 저장합니다. 중지하면
                              그때까지 받은 내용을 저장합니다
    --context SCOPE           notebook(기본값): 이 커널에서 실행한 코드와 결과, 마지막 오류
                              cell: 마지막으로 실행한 것만    none: 질문만 보내며, 이전 질문도 보내지 않음

질문에 쓴 {{name}}, {{name.attribute}}, {{In[3]}}, {{Out[2]}}는 이 커널의 값으로 바뀝니다.
{{{{name}}}}이라고 쓰면 {{name}}으로 남습니다. `백틱`과 코드 블록 안, 그리고 %%ai fix와 %%ai explain 아래의 코드는
바뀌지 않습니다.
질문은 이 커널의 이전 질문을 기억합니다. 키와 비밀번호, 비밀 환경 변수의 값은 보내기 전에 가립니다.
os.environ의 VLLM_BASE_URL로 다른 모델 서버를 지정할 수 있습니다. Jupyter 서버의 키는 그곳에 보내지 않으므로
VLLM_API_KEY도 설정하세요.
중지 버튼이나 Ctrl-C로 멈출 수 있고, 지금까지 받은 내용은 남습니다.""",
}

TABLES: dict[str, dict[str, str]] = {"en": ENGLISH, "ko": KOREAN}

KOREAN_HINTS: dict[str, str] = {
    "Is it running, and is VLLM_BASE_URL right?": "서버가 실행 중인지, VLLM_BASE_URL이 맞는지 확인하세요.",
    "Name its CA in CELLAR_CA_BUNDLE": "서버 인증서를 신뢰할 수 없으니 CELLAR_CA_BUNDLE에 CA를 지정하세요.",
    "Check CELLAR_CA_BUNDLE: it names a PEM file": "CELLAR_CA_BUNDLE에 올바른 PEM 파일을 지정하세요.",
    "Check CELLAR_PROXY": "프록시가 연결을 거부했습니다. CELLAR_PROXY를 확인하세요.",
    "Check CELLAR_PROXY: it looks like http://HOST:3128": "CELLAR_PROXY는 http://HOST:3128 같은 형식이어야 합니다.",
    "It should look like http://HOST:8001/v1": "주소는 http://HOST:8001/v1 같은 형식이어야 합니다.",
    "Set that as base URL": "요청이 다른 주소로 전달되었습니다. 그 주소를 VLLM_BASE_URL에 설정하세요.",
    "Does the base URL end in /v1, and is it an OpenAI-compatible server?": (
        "주소가 /v1로 끝나는지, OpenAI 호환 서버인지 확인하세요."
    ),
    "Does the base URL end in /v1, and does no login page or proxy stand before it?": (
        "주소가 /v1로 끝나는지, 로그인 페이지나 프록시가 앞에 있지 않은지 확인하세요."
    ),
    "Shorten the question, or choose a model with a longer context.": (
        "질문을 줄이거나 컨텍스트가 더 긴 모델을 선택하세요."
    ),
}


def language_of(environ: Mapping[str, str], chosen: str = "") -> str:
    """`ko` or `en`: `CELLAR_LANG`, else what was `chosen` in JupyterLab, else `LANG`."""
    name = environ.get("CELLAR_LANG") or chosen or environ.get("LANG", "")
    return "ko" if name.lower().startswith("ko") else "en"


class Spoken(Exception):
    """Something to tell the user in one sentence: `key` names it, `values` fill it."""

    def __init__(self, key: str, **values: str) -> None:
        super().__init__(key)
        self.key = key
        self.values = values


class AiHalt(Exception):
    """Ends the cell with one line, which IPython shows instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class Words:
    """The sentences of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._table = TABLES[language]

    def say(self, key: str, **values: object) -> str:
        return self._table[key].format(**values)

    def error(self, error: CellarError, url: str) -> str:
        """One readable line: what happened, then what helps. Server messages stay in the server's words, shortened."""
        status = error.detail.get("status")
        message = _sentence(error.message)
        line = self.say(
            self._key(error),
            message=message,
            fact=message.removesuffix("."),
            url=url,
            status=f" (HTTP {status})" if status else "",
            model=error.detail.get("model"),
            time=_local_time(error.detail.get("resets_at")),
        )
        line = f"{line} {self._advice(error)}".rstrip()
        return self.say("retry", sentence=line, seconds=round(error.retry_after)) if error.retry_after else line

    def _key(self, error: CellarError) -> str:
        """The sentence for what is known of the error, else the one for its code."""
        known = error.detail
        closer = {
            "forbidden": ("forbidden_untold", known.get("why") == "model_server"),
            "model_not_found": ("no_model_named", bool(known.get("model"))),
            "request_refused": (
                ("no_chat_template", True)
                if known.get("why") == "no_chat_template"
                else ("no_such_address", known.get("status") == 404)
            ),
            "model_down": ("model_stopped", known.get("why") == "stopped"),
            "quota_exceeded": ("quota_until", isinstance(known.get("resets_at"), int | float)),
        }
        key, fits = closer.get(error.code, ("", False))
        return key if fits else error.code

    def _advice(self, error: CellarError) -> str:
        hint = KOREAN_HINTS.get(error.hint, "") if self.language == "ko" else _sentence(error.hint)
        return hint or self._table.get(f"{error.code}_advice", "")


def _sentence(message: str) -> str:
    """A message on one line, with a full stop where it has no end of its own."""
    line = " ".join(message.split())[:300]
    return line if not line or line[-1] in ".!?…" else f"{line}."


def _local_time(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return ""
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
