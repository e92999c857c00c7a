"""The report for people, in English and Korean. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Table = Mapping[str, Any]

ENGLISH = {
    "title": "Proof of the seal",
    "sealed": "SEALED: nothing of Cellar tried to reach the outside.",
    "failed": "FAILED. What stands against it:",
    "bundle": "Bundle",
    "signed_by": "Signed by",
    "engine": "Docker",
    "time": "From, to (UTC)",
    "idle": "Idle at the end, seconds",
    "how": (
        "Every container had a way out of its own, IPv4 and IPv6, to one rule that counts and drops; names were "
        "answered by a resolver that writes each one down. A connection of each kind and a lookup were made on purpose "
        "from within each container, at its beginning and at the end: all of them had to be counted."
    ),
    "counted": "Packets that the rule dropped, and that were read of them (IPv4, IPv6)",
    "lost": "lost between the two",
    "controls": "Controls counted",
    "container": "Container",
    "beginning": "At its beginning",
    "end": "At the end",
    "gone": "had ended",
    "attempts": "What tried to reach the outside",
    "none": "Nothing.",
    "target": "Where to",
    "process": "Process",
    "first": "First (UTC)",
    "count": "Times",
    "unseen": "not seen any more",
    "from": "From",
    "journey": "The user's journey",
    "step": "Step",
    "seconds": "Seconds",
    "result": "Result",
    "done": "done",
    "probe": (
        "Tried on purpose by the hub's start-up probe, which tests the isolation of workspaces in containers of its own"
    ),
    "own_names": (
        "Names without a dot: the stack's own, asked while their container was away; and those that only Docker's own "
        "resolver was asked for, which knows containers and passes none of them on"
    ),
    "reasons": {
        "attempts": "{count} different things were tried (table below).",
        "control": "The control {kind} of {container}, at its {when}, was not counted: what it sends may go unseen.",
        "counted": "The rule dropped {rule} packets, and not all of them could be read ({lost} were lost).",
        "no_workspace": "No workspace was there at the end, for the last controls.",
        "no_browser": "The browser was not there at the end, for the last controls.",
        "journey": "The journey's step {step} failed: {problem}",
        "unfinished": "The journey did not come to its end.",
    },
    "steps": {
        "log_in": "Log in",
        "start_a_workspace": "Start a workspace",
        "ask_in_the_panel": "Ask in the panel",
        "ask_in_a_cell": "Ask in a cell with %%ai",
        "look_at_the_console": "Look at the administrator's pages",
        "go_back_to_work": "Open the notebook again",
        "end": "Leave it open",
    },
}
KOREAN = {
    "title": "외부 차단 증명",
    "sealed": "봉인됨: Cellar의 어떤 부분도 외부에 접속하려 하지 않았습니다.",
    "failed": "실패. 이유:",
    "bundle": "번들",
    "signed_by": "서명자",
    "engine": "Docker",
    "time": "시작, 끝 (UTC)",
    "idle": "마지막 대기 시간(초)",
    "how": (
        "모든 컨테이너에 IPv4와 IPv6 외부 경로를 하나씩 주었고, 그 경로는 패킷을 세고 버리는 규칙 하나로만 이어집니다. "
        "이름 조회는 모든 이름을 기록하는 리졸버가 답했습니다. 각 컨테이너 안에서 시작할 때와 끝날 때 "
        "일부러 두 종류의 연결과 이름 조회를 한 번씩 시도했고, 이 모두가 집계되어야 합니다."
    ),
    "counted": "규칙이 버린 패킷과 그중 읽은 패킷 (IPv4, IPv6)",
    "lost": "그 사이 잃은 패킷",
    "controls": "집계된 대조 시험",
    "container": "컨테이너",
    "beginning": "시작할 때",
    "end": "끝날 때",
    "gone": "이미 종료됨",
    "attempts": "외부에 접속하려 한 것",
    "none": "없습니다.",
    "target": "대상",
    "process": "프로세스",
    "first": "처음 (UTC)",
    "count": "횟수",
    "unseen": "더 이상 볼 수 없음",
    "from": "보낸 주소",
    "journey": "사용자의 작업 과정",
    "step": "단계",
    "seconds": "초",
    "result": "결과",
    "done": "완료",
    "probe": "허브의 시작 점검이 작업 공간 격리를 시험하려고 자체 컨테이너에서 일부러 시도한 것",
    "own_names": (
        "점이 없는 이름: 컨테이너가 없는 동안 조회된 스택 자체의 이름과, 컨테이너만 알고 밖으로 넘기지 않는 "
        "Docker 자체 리졸버에만 조회된 이름"
    ),
    "reasons": {
        "attempts": "서로 다른 시도가 {count}건 있었습니다(아래 표).",
        "control": "{container}의 대조 시험 {kind}({when})이 집계되지 않았습니다. 보내는 것을 놓칠 수 있습니다.",
        "counted": "규칙이 버린 패킷 {rule}개를 모두 읽지 못했습니다(잃은 패킷 {lost}개).",
        "no_workspace": "마지막 대조 시험 때 작업 공간이 없었습니다.",
        "no_browser": "마지막 대조 시험 때 브라우저가 없었습니다.",
        "journey": "작업 과정의 단계 {step} 실패: {problem}",
        "unfinished": "작업 과정이 끝까지 진행되지 않았습니다.",
    },
    "steps": {
        "log_in": "로그인",
        "start_a_workspace": "작업 공간 시작",
        "ask_in_the_panel": "패널에서 질문",
        "ask_in_a_cell": "셀에서 %%ai로 질문",
        "look_at_the_console": "관리자 페이지 보기",
        "go_back_to_work": "노트북 다시 열기",
        "end": "열어 둔 채 기다리기",
    },
}
LANGUAGES: tuple[dict[str, Any], ...] = (ENGLISH, KOREAN)


def markdown(report: Table) -> str:
    """Both languages, one after the other."""
    return "\n---\n\n".join("\n".join(_page(report, words)) + "\n" for words in LANGUAGES)


def reasons(report: Table, words: Table = ENGLISH) -> list[str]:
    """What stands against the proof, a sentence each."""
    told = []
    for reason in report["reasons"]:
        known = {**reason, "when": words.get(reason.get("when", ""), "")}
        if "step" in reason:
            known["step"] = words["steps"].get(reason["step"], reason["step"])
        told.append(str(words["reasons"][reason["code"]]).format(**known))
    return told


def attempt(each: Table, words: Table = ENGLISH) -> str:
    """One attempt in one line."""
    process = each["process"] or words["unseen"]
    return f"{each['container']} -> {each['target']} ({each['count']}x, {each['first']}; {process})"


def _page(report: Table, words: Table) -> list[str]:
    counted = report["counted"]
    packets = " / ".join(f"{counted[which]['ipv4']}, {counted[which]['ipv6']}" for which in ("rule", "read"))
    facts = [
        (words["bundle"], f"{report['bundle']['title']} `{report['bundle']['id']}`"),
        (words["signed_by"], report["bundle"]["signed_by"]),
        (words["engine"], report["engine"]),
        (words["time"], f"{report['began']}, {report['ended']}"),
        (words["idle"], report["idle_seconds"]),
        (words["counted"], f"{packets}; {words['lost']}: {counted['lost']}"),
    ]
    lines = [f"# {words['title']}", "", f"**{words[report['verdict']]}**", ""]
    lines += [f"- {_plain(each)}" for each in reasons(report, words)]
    lines += ["", words["how"], "", *_table(("", ""), facts)]
    lines += ["", f"## {words['attempts']}", "", *_attempts(report["attempts"], words)]
    lines += ["", f"## {words['controls']}", ""]
    rows = [
        (each["name"], *(_marks(each[when], words) for when in ("at_its_beginning", "at_the_end")))
        for each in report["containers"]
    ]
    lines += _table((words["container"], words["beginning"], words["end"]), rows)
    lines += ["", f"## {words['journey']}", ""]
    steps = [
        (
            words["steps"].get(each["step"], each["step"]),
            each["seconds"],
            words["done"] if each["ok"] else each["problem"],
        )
        for each in report["journey"]
    ]
    lines += _table((words["step"], words["seconds"], words["result"]), steps)
    for group in ("probe", "own_names"):
        if report[group]:
            lines += ["", f"## {words[group]}", "", *_attempts(report[group], words)]
    return lines


def _attempts(group: Sequence[Table], words: Table) -> list[str]:
    if not group:
        return [str(words["none"])]
    head = ("container", "from", "target", "first", "count", "process")
    rows = [[each[name] or (words["unseen"] if name == "process" else "") for name in head] for each in group]
    return _table([words[name] for name in head], rows)


def _marks(controls: Table | None, words: Table) -> str:
    if controls is None:
        return str(words["gone"])
    return ", ".join(f"{kind} {'✓' if done else '✗'}" for kind, done in controls.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(_plain(each) for each in line)} |" for line in lines]


def _plain(text: Any) -> str:
    """Nothing of what was counted may make a table of its own."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
