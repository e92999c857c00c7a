"""Words that others write for programs (the hub, the gateway, the audit) and that a reader meets on the pages. Pure.

Only closed sets: in English they stand as they are, in Korean as the catalogue has them, under `KIND:WORD`. What is not
here is shown as it came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from cellar_hub.accounts import BAD_NAME

from .words import Words

FEATURE_NAMES = {
    "attach_files": "Attach files",
    "export": "Export conversations",
    "images": "Pictures",
    "search": "Search the workspace",
}
"""Of the panel; texts of the pages, in English."""
POLICY_NAMES = {
    "models": "Models",
    "modes": "Modes of the panel",
    "destinations": "Reachable in the building",
    "profiles": "Workspace profiles",
    "tokens_per_day": "Tokens a day",
    "tokens_per_month": "Tokens a month",
    "requests_per_minute": "Requests a minute",
    "max_tokens": "Longest answer, in tokens",
    "max_running": "Questions at the model at once",
    "max_waiting": "Questions in the queue",
    **FEATURE_NAMES,
}
"""Of fields of the policy."""
FIELD_NAMES = {
    **POLICY_NAMES,
    "models_more": "Models",
    "profiles_more": "Workspace profiles",
    **{f"reason_{name}": text for name, text in FEATURE_NAMES.items()},
    "text": "Text",
    "starts": "From",
    "ends": "Until",
    "name": "Name",
    "port": "Port",
    "to": "Leads to",
    "users": "Add people",
}
"""Of fields of forms into which people type or in which they choose."""
FAILED = ".failed"
DIGESTS = ("sha256", "sha256_before")
CHANGE = "change_"
"""How the audit's details of a changed policy are called, with a number behind."""
TERMS: Mapping[str, tuple[str, ...]] = {
    "deed": (
        *("user.add", "user.approve", "user.block", "user.unblock", "user.remove", "user.files"),
        *("user.files.give", "user.files.remove", "user.groups", "user.promote", "user.demote"),
        *("user.account.add", "user.account.allow", "user.account.block", "user.account.remove"),
        *("user.account.promote", "user.account.demote"),
        *("user.signup", "user.password", "user.login.succeeded", "user.login.failed", "user.login.refused"),
        *("group.add", "group.remove", "group.join", "group.leave"),
        *("workspace.start", "workspace.stop", "token.revoke", "policy.change", "policy.read"),
        *("audit.export", "audit.verify", "audit.retain", "audit.rotate", "usage.export"),
        *("site.backup", "site.restore"),
        *("destination.opened", "destination.refused", "destination.failed"),
        *("hub.user.add", "hub.user.change", "hub.user.remove", "hub.token.add", "hub.token.revoke"),
        *("hub.group.add", "hub.group.change", "hub.group.join", "hub.group.leave", "hub.group.remove"),
        *("hub.server.add", "hub.server.change", "hub.server.start", "hub.server.stop"),
        *("hub.share.add", "hub.share.revoke", "hub.share.remove", "hub.share.leave", "hub.share.accept"),
        *("hub.share.code.add", "hub.share.code.remove", "hub.service.add", "hub.service.remove"),
        *("hub.proxy.change", "hub.shutdown", "hub.call"),
        "unreadable",
    ),
    "detail": (
        *(
            "action",
            "admin",
            "back_to",
            "backup",
            "before",
            "change",
            "client",
            "count",
            "done",
            "error",
            "events_only",
        ),
        *(
            "fields",
            "files",
            "forgotten",
            "group",
            "joined",
            "key",
            "kind",
            "left",
            "lines",
            "lost",
            "method",
            "model",
            "more",
            "outcome",
        ),
        *(
            "reason",
            "report",
            "request_id",
            "server",
            "sha256",
            "sha256_before",
            "since",
            "status",
            "stopped",
            "subject",
        ),
        *("token", "until", "user", "who"),
    ),
    "code": (
        *("changed", "missing", "cut", "rewritten", "vanished", "unknown_key"),
        *("forged_seal", "forged_head", "no_heads"),
    ),
    "said": ("yes", "no", "theirs", "none"),
    "mode": ("ask", "edit", "agent", "compact"),
    "role": ("chat", "completion", "embeddings"),
    "why": (
        "nobody answers there",
        "it hangs up",
        "its list of models is none; does the address end in /v1?",
        "HTTP 401; it does not accept the gateway's key",
        "HTTP 403; it does not accept the gateway's key",
        "HTTP 503; vLLM says so when its engine has died",
        *("ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "RemoteProtocolError", "PoolTimeout"),
        "another release",
    ),
    "reason": (
        *("unknown name", "wrong password", "too many wrong passwords", "too many at once", "too many attempts"),
        *("waits for approval", "blocked", "no user of the hub", "refused: the name is taken"),
        "the provider is not believed",
        *("the hub's database is away", "the provider is away", "the provider vouches for nobody"),
        *(BAD_NAME, "this cannot be a name", "Nobody can block themselves", "Nobody can remove themselves"),
        *("Only administrators make administrators", "Only administrators change an administrator's account"),
        "Passwords are the directory's here",
    ),
}
"""A deed of which only the attempt was made has FAILED behind its name."""


def deed(words: Words, action: str) -> str:
    """`user.block`, or what it is in the reader's language."""
    found = words.term("deed", action)
    if found == action and action.endswith(FAILED):
        begun = action.removesuffix(FAILED)
        if (said := words.term("deed", begun)) != begun:
            return words("{deed}: failed", deed=said)
    return found


def details(words: Words, said: Mapping[str, str | int]) -> list[tuple[str, str]]:
    """What an event says beside its name, for a reader: nothing of what is empty or tells them nothing, and of a digest
    its beginning. Files have all of it."""
    found = []
    for key, value in said.items():
        if key.startswith(CHANGE):
            found.append((words.term("detail", "change"), _change(str(value))))
        elif value != "" and not (key == "report" or (key == "count" and value == 1)):
            kind = "reason" if key == "reason" else "said"
            said_so = words.term(kind, str(value))
            if key in ("reason", "done"):
                said_so = ", ".join(map(words.phrase, said_so.split(", ")))
            found.append((words.term("detail", key), f"{said_so[:12]}…" if key in DIGESTS else said_so))
    return found


def _change(text: str) -> str:
    """One change of the policy (`rules.said`) as a line; as it came where it was too long for the audit."""
    try:
        change = json.loads(text)
        kind = change.pop("change")
    except (ValueError, KeyError, AttributeError):
        return text
    if kind in ("set_field", "remove_field") and {"table", "field"} <= change.keys():
        value = json.dumps(change["value"], ensure_ascii=False) if "value" in change else "–"
        return f"{change['table']}.{change['field']} = {value}"
    return ", ".join(f"{key}: {value}" for key, value in change.items() if value is not None)
