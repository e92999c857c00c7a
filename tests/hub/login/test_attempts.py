"""What the audit is told of log-ins, and that a flood of them stays small without any being forgotten."""

from __future__ import annotations

from collections import Counter

from cellar_hub.login.attempts import EVERY, MOST_KINDS, MOST_UNSENT, NAMES, Attempts, Kept, Told, hidden


def told(found: list[Told]) -> list[tuple[str, str, int, float]]:
    return [(each.subject, each.outcome, each.count, each.at) for each in found]


def test_a_first_attempt_is_told_at_once_and_those_after_it_once_a_minute() -> None:
    attempts = Attempts("a")
    assert attempts.note("failed", "kim", "10.0.0.1", "wrong password", 100.0)
    (first,) = attempts.due(100.0)
    assert told([first]) == [("kim", "failed", 1, 100.0)]
    attempts.sent(first)
    for _ in range(5):
        assert not attempts.note("failed", "kim", "10.0.0.1", "wrong password", 110.0)
    assert attempts.due(100.0 + EVERY - 1) == []
    (second,) = attempts.due(100.0 + EVERY)
    assert told([second]) == [("kim", "failed", 5, 110.0)] and second.id != first.id
    attempts.sent(second)
    assert attempts.due(100.0 + 2 * EVERY) == []
    assert attempts.note("failed", "kim", "10.0.0.1", "wrong password", 300.0), "a quiet minute has passed"


def test_many_names_from_one_address_are_counted_together_and_successes_never() -> None:
    attempts = Attempts("a")
    for number in range(400):
        attempts.note("failed", f"unknown:{number}", "10.0.0.1", "unknown name", 100.0)
        attempts.note("succeeded", f"user{number}", "10.0.0.1", "", 100.0)
    found = attempts.due(100.0, end=True)
    failed = [each for each in found if each.outcome == "failed"]
    assert len(failed) <= NAMES + 2 and sum(each.count for each in failed) == 400
    assert attempts.note("failed", "lee", "10.0.0.2", "wrong password", 100.0), "others are told apart"


def test_no_flood_hides_whose_account_is_attacked_or_who_got_in() -> None:
    attempts = Attempts("a")
    for number in range(NAMES):
        attempts.note("failed", f"unknown:{number}", "10.0.0.1", "unknown name", 100.0)
    attempts.note("failed", "alice", "10.0.0.1", "wrong password", 100.0)
    attempts.note("refused", "alice", "10.0.0.1", "too many wrong passwords", 100.0)
    for number in range(MOST_KINDS):
        attempts.note("refused", f"unknown:{number}", f"10.1.{number // 250}.{number % 250}", "too many at once", 100.0)
    for name in ("kim", "lee"):
        attempts.note("succeeded", name, "10.0.0.3", "", 100.0)
    found = Counter((each.subject, each.outcome) for each in attempts.due(100.0, end=True))
    kept = Counter((each.subject, each.outcome) for each in attempts.keep().told)
    for expected in (("alice", "failed"), ("alice", "refused"), ("kim", "succeeded"), ("lee", "succeeded")):
        assert (found | kept)[expected] == 1


def test_what_is_kept_is_bounded_and_every_attempt_counted() -> None:
    attempts = Attempts("a")
    many = 3 * MOST_KINDS
    for number in range(many):
        attempts.note("failed", "kim", f"10.0.{number // 250}.{number % 250}", "wrong password", 100.0)
    assert len(attempts.due(100.0 + EVERY)) == MOST_UNSENT
    assert len(attempts.keep().told) <= MOST_UNSENT + MOST_KINDS + 1
    assert sum(each.count for each in attempts.keep().told) == many
    while due := attempts.due(1000.0, end=True):
        for each in due:
            attempts.sent(each)
            many -= each.count
    assert many == 0 and attempts.keep() == Kept()


def test_what_was_not_taken_is_told_by_the_next_process_with_the_same_id() -> None:
    attempts = Attempts("a")
    for moment in (100.0, 101.0, 102.0):
        attempts.note("failed", "kim", "10.0.0.1", "wrong password", moment)
    after = Attempts("b")
    after.restore(attempts.keep())
    assert after.due(200.0)[0] == attempts.due(100.0)[0]
    assert told(after.due(200.0)) == [("kim", "failed", 1, 100.0), ("kim", "failed", 2, 101.0)]
    after.note("failed", "kim", "10.0.0.1", "wrong password", 200.0)
    assert len({each.id for each in after.due(200.0)}) == 3


def test_a_name_that_is_nobodys_is_known_again_and_not_read() -> None:
    password = "correct horse battery"
    kept = hidden(password, "g" * 32)
    assert kept == hidden(password, "g" * 32) and kept.startswith("unknown:") and len(kept) == 24
    assert hidden(password, "h" * 32) != kept != hidden(password + "x", "g" * 32)
    assert hidden("\ud800" * 9000, "g" * 32)
