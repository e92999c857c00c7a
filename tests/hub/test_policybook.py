"""The policy file that several may change: conflicts, history, and what a kill or a full disk leaves."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cellar.settings import SettingsError
from cellar_hub.policy import Policy
from cellar_hub.policybook import GONE, KEPT, Conflict, PolicyBook, compared, id_of
from cellar_hub.policyedit import SetField, change
from cellar_hub.policyfile import PolicyFile
from cellar_hub.watchedfile import WatchedFile

FIRST = "# ours\n[default]\nmax_tokens = 10\n"


def limit(tokens: int) -> Callable[[str], str]:
    return lambda text: change(text, SetField(table="default", field="max_tokens", value=tokens))


def save(book: PolicyBook, tokens: int, by: str = "ann") -> None:
    seen = book.read()
    book.save(limit(tokens)(seen.text), based_on=seen.id, by=by)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "policy" / "policy.toml"
    found.parent.mkdir()
    found.write_text(FIRST)
    return found


@pytest.fixture
def book(path: Path) -> PolicyBook:
    return PolicyBook(path)


def test_a_file_that_nobody_has_saved_here_is_by_nobody(book: PolicyBook, path: Path) -> None:
    seen = book.read()
    assert (seen.text, seen.id, seen.by, book.writable) == (FIRST, id_of(FIRST), "", "")
    assert seen.at == pytest.approx(path.stat().st_mtime)
    assert book.history() == [seen]


def test_what_is_saved_counts_and_its_author_and_what_was_before_are_kept(book: PolicyBook, path: Path) -> None:
    save(book, 20, "ann")
    save(book, 30, "kim")
    assert "max_tokens = 30" in path.read_text() and path.read_text().startswith("# ours\n")
    assert [(each.by, "= 30" in each.text) for each in book.history()] == [("kim", True), ("ann", False), ("", False)]
    first = book.history()[-1]
    book.save(first.text, based_on=book.read().id, by="ann")  # back to it
    assert path.read_text() == FIRST and book.read().by == "ann" and len(book.history()) == 4


def test_whoever_looked_at_another_revision_is_told_what_is_there_now(book: PolicyBook, path: Path) -> None:
    seen = book.read()
    save(book, 20, "kim")
    with pytest.raises(Conflict) as refused:
        book.save(limit(99)(seen.text), based_on=seen.id, by="ann")
    assert (refused.value.now.by, refused.value.now) == ("kim", book.read())
    assert "max_tokens = 20" in path.read_text()


def test_an_editor_s_change_is_a_revision_by_nobody_and_is_not_lost(book: PolicyBook, path: Path) -> None:
    save(book, 20)
    seen = book.read()
    path.write_text("[default]\nmax_tokens = 77\n")
    assert (book.read().by, book.history()[0].by) == ("", "")
    with pytest.raises(Conflict):
        book.save(limit(99)(seen.text), based_on=seen.id, by="ann")
    save(book, 30)
    assert [(each.by, each.text[-3:-1]) for each in book.history()] == [
        ("ann", "30"), ("", "77"), ("ann", "20"), ("", "10"),
    ]  # fmt: skip


def test_an_editor_that_saves_while_the_disk_works_is_not_overwritten(
    book: PolicyBook, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(book, 20)
    seen, theirs = book.read(), "[default]\nmax_tokens = 77\n"

    def slow(descriptor: int) -> None:
        path.write_text(theirs)

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", slow)
        with pytest.raises(Conflict):
            book.save(limit(30)(seen.text), based_on=seen.id, by="ann")
    assert path.read_text() == theirs and sorted(os.listdir(path.parent)) == ["policy.toml", "policy.toml.history"]
    save(book, 40, "kim")
    assert [each.by for each in book.history()] == ["kim", "", "ann", ""]


def test_of_many_at_once_each_change_is_there_or_its_author_was_told(path: Path) -> None:
    done: list[int] = []
    told: list[Conflict] = []

    def one(tokens: int) -> None:
        book = PolicyBook(path)
        while True:
            try:
                return done.append(tokens) if save(book, tokens, str(tokens)) is None else None
            except Conflict as conflict:
                told.append(conflict)

    threads = [threading.Thread(target=one, args=(tokens,)) for tokens in range(100, 112)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {each.by for each in PolicyBook(path).history()} == {"", *map(str, done)} and len(done) == 12


HUGE = f"[default]\ntokens_per_day = {'9' * 5_000}\n"
NESTED = f"[default]\nmodels = {'[' * 5_000}{']' * 5_000}\n"


@pytest.mark.parametrize(
    "text",
    ["", " \n", "[default", "[default]\nmodel = 1", "[users.Ann]\n", "[default]\n\ud800", HUGE, NESTED],
    ids=["empty", "blank", "cut", "unknown", "capitals", "surrogate", "huge", "nested"],
)
def test_a_text_that_is_no_policy_is_never_saved(book: PolicyBook, path: Path, text: str) -> None:
    with pytest.raises(SettingsError):
        book.save(text, based_on=book.read().id, by="ann")
    assert path.read_text() == FIRST and len(book.history()) == 1
    assert sorted(os.listdir(path.parent)) == ["policy.toml", "policy.toml.history"]


def test_a_site_may_refuse_more(path: Path) -> None:
    def check(policy: Policy) -> None:
        if policy.for_("x", []).max_tokens > 50:
            raise SettingsError("here", "has too many")

    book = PolicyBook(path, check)
    save(book, 50)
    with pytest.raises(SettingsError, match="too many"):
        save(book, 51)
    assert "max_tokens = 50" in path.read_text()


def test_mode_and_owner_stay(book: PolicyBook, path: Path) -> None:
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 10001, 10002)
    before = path.stat()
    save(book, 20)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert {each.stat().st_mode & 0o777 for each in path.with_name("policy.toml.history").glob("*.json")} == {0o600}


def test_a_link_stays_one(path: Path) -> None:
    link = path.with_name("link.toml")
    link.symlink_to(path)
    save(PolicyBook(link), 20)
    assert link.is_symlink() and "max_tokens = 20" in path.read_text()


def test_the_last_revisions_are_kept(book: PolicyBook, path: Path) -> None:
    save(book, 5)
    record = next(path.with_name("policy.toml.history").glob("*2.json")).read_bytes()
    for number in range(3, KEPT + 40):
        (path.with_name("policy.toml.history") / f"{number:08}.json").write_bytes(record)
    save(book, 20)
    history = book.history()
    assert len(history) == KEPT and history[0].text == path.read_text()


def test_a_file_that_is_being_written_counts_when_it_is_whole(path: Path) -> None:
    """Whoever writes in place writes in pieces, and the first piece may be a policy: one without somebody's limit."""
    whole = f"{FIRST}\n[users.ann]\nmax_tokens = 5\n"

    def read(path: Path) -> str:
        text = path.read_text()
        if text.endswith("# a first piece\n"):
            path.write_text(whole)
        return text

    watched = WatchedFile(path, read, "the policy")
    path.write_text(f"{FIRST}# a first piece\n")
    watched.look()
    assert watched.current() == FIRST
    watched.look()
    assert watched.current() == whole


@pytest.mark.parametrize("broken", [HUGE, NESTED], ids=["huge", "nested"])
def test_what_no_parser_can_read_leaves_what_counted_and_is_told(path: Path, broken: str) -> None:
    file = PolicyFile(path)
    path.write_text(broken)
    file.look()
    assert (file.ok, file.current().for_("ann", []).max_tokens) == (False, 10)


@pytest.mark.parametrize("place", [None, "missing"])
def test_what_is_not_there_cannot_be_edited_and_says_so(tmp_path: Path, place: str | None) -> None:
    book = PolicyBook(None if place is None else tmp_path / place)
    assert ("not set" in book.writable) if place is None else ("is not there" in book.writable)
    with pytest.raises(SettingsError):
        book.read()
    with pytest.raises(SettingsError):
        book.save("[default]\n", based_on="", by="ann")


@pytest.mark.parametrize("ending", [None, b"\xff"])
def test_a_file_that_is_gone_or_no_text_is_brought_back_from_the_history_once(
    tmp_path: Path, ending: bytes | None
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(FIRST)
    book = PolicyBook(path)
    book.save(FIRST + "# kept", based_on=id_of(FIRST), by="ann")
    assert not book.is_lost
    path.unlink() if ending is None else path.write_bytes(ending)
    assert book.is_lost and [each.by for each in book.history()] == ["ann", ""]
    with pytest.raises(SettingsError):
        book.save(FIRST, based_on=id_of(FIRST + "# kept"), by="kim")
    assert book.save(book.history()[0].text, based_on=GONE, by="kim").by == "kim"
    assert path.read_text() == FIRST + "# kept" and path.stat().st_mode & 0o444 == 0o444
    assert not book.is_lost and [each.by for each in book.history()] == ["kim", "ann", ""]
    with pytest.raises(Conflict):
        book.save(FIRST, based_on=GONE, by="lee")


READ_ONLY = """
import sys
from pathlib import Path
from cellar.settings import SettingsError
from cellar_hub.policybook import GONE, PolicyBook
book = PolicyBook(Path(sys.argv[1]))
print(book.writable)
seen = book.read()
try:
    book.save(seen.text + "#", based_on=seen.id, by="ann")
except SettingsError:
    print("refused")
"""


def test_a_file_on_a_read_only_mount_is_read_and_said_to_be_managed_elsewhere(path: Path) -> None:
    mount = f"mount --bind {path.parent} {path.parent} && mount -o remount,bind,ro {path.parent}"
    command = ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "_", sys.executable, "-c", READ_ONLY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no mount namespaces here")
    said, refused = done.stdout.splitlines()
    assert said == f"The policy file {path} is managed elsewhere: its folder is mounted read-only here."
    assert refused == "refused" and path.read_text() == FIRST


FULL = """
import sys
from pathlib import Path
from cellar.settings import SettingsError
from cellar_hub.policybook import GONE, PolicyBook
book = PolicyBook(Path(sys.argv[1]))
seen = book.read()
try:
    book.save("[default]\\n" + "#" * int(sys.argv[2]), based_on=seen.id, by="ann")
except SettingsError as problem:
    print(problem)
"""


def test_a_disk_that_takes_no_more_leaves_the_old_file(book: PolicyBook, path: Path) -> None:
    save(book, 20)
    before = path.read_text()

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192))

    command = [sys.executable, "-c", FULL, str(path), "20000"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=little_room)
    assert "cannot be written" in done.stdout, done.stderr
    assert path.read_text() == before and [each.by for each in book.history()] == ["ann", ""]
    save(book, 30)
    assert [each.by for each in book.history()] == ["ann", "ann", ""]


def test_a_file_that_cannot_take_the_old_ones_place_leaves_it_and_no_trace(book: PolicyBook, path: Path) -> None:
    save(book, 20)
    in_the_way = path.with_name(".policy.toml.part")
    in_the_way.mkdir()
    with pytest.raises(SettingsError, match="cannot be written"):
        save(book, 30)
    assert "max_tokens = 20" in path.read_text() and [each.by for each in book.history()] == ["ann", ""]
    in_the_way.rmdir()
    save(book, 40)
    assert [each.by for each in book.history()] == ["ann", "ann", ""]


KILLED = """
import sys
from pathlib import Path
from cellar_hub.policybook import GONE, PolicyBook
book = PolicyBook(Path(sys.argv[1]))
for number in range(1_000_000):
    text = f"[default]\\nmax_tokens = {number + 1}\\n" + "# filler\\n" * 2_000
    book.save(text, based_on=book.read().id, by=str(number + 1))
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_policy_and_a_history_that_agree(book: PolicyBook, path: Path) -> None:
    for saves in range(1, 9):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(saves):
                process.stdout.readline()
            process.kill()
        now = book.read()
        number = PolicyFile(path).current().for_("x", []).max_tokens
        assert number >= saves and now.text == path.read_text()
        history = book.history()
        assert history[0] == now and now.by == str(number)
        assert all(f"max_tokens = {each.by}\n" in each.text for each in history if each.by)
        save(book, 5_000_000 + saves, f"{5_000_000 + saves}")


def test_what_a_page_saved_is_known_from_what_an_editor_wrote(path: Path) -> None:
    book = PolicyBook(path)
    assert not book.wrote(path.read_text())
    save(book, 20)
    assert book.wrote(path.read_text())
    path.write_text(FIRST)
    assert not book.wrote(FIRST), "also where it is what was there before"
    save(book, 30)
    assert book.wrote(path.read_text()) and not book.wrote(FIRST)


def test_two_policies_are_compared_by_their_sums_and_the_names_of_fields() -> None:
    before = '[default]\nmax_tokens = 10\nmodels = ["a"]\n[groups."night shift"]\nmax_running = 1\n'
    after = '[default]\nmax_tokens = 20 # more\n[groups."night shift"]\nmax_running = 1\n[users.ann]\n'
    assert compared(before, after) == {
        "sha256_before": hashlib.sha256(before.encode()).hexdigest(),
        "sha256": hashlib.sha256(after.encode()).hexdigest(),
        "fields": "default.max_tokens, default.models, users.ann",
    }
    assert "fields" not in compared(before, "# a comment\n" + before)
    many = "".join(f"[users.{number:0>100}]\nmax_tokens = 1\n" for number in range(50))
    found = compared("", many)
    assert "sha256_before" not in found and found["more"] == 48 and len(str(found["fields"])) <= 255
    assert "fields" in compared("no [TOML", before)
