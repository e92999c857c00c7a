"""What the audit is told of connections, and when no more are made."""

from __future__ import annotations

from cellar_hub.forwarder.reports import AT_ONCE, EVERY, MOST_UNSENT, Report, Reports


def told(found: list[Report]) -> list[tuple[str, str, int, float]]:
    return [(each.user, each.outcome, each.count, each.at) for each in found]


def test_a_first_connection_is_reported_at_once_and_those_after_it_once_a_minute() -> None:
    reports = Reports("1-a")
    assert reports.note("kim", "a:1", "opened", 100.0)
    first = reports.due(100.0)
    assert told(first) == [("kim", "opened", 1, 100.0)]
    reports.sent(first)
    for _ in range(5):
        assert not reports.note("kim", "a:1", "opened", 110.0)
    assert reports.due(100.0 + EVERY - 1) == []
    second = reports.due(100.0 + EVERY)
    assert told(second) == [("kim", "opened", 5, 100.0)]
    reports.sent(second)
    reports.note("kim", "a:1", "opened", 170.0)
    assert reports.due(180.0) == []
    assert told(reports.due(100.0 + 2 * EVERY)) == [("kim", "opened", 1, 100.0 + EVERY)]


def test_after_a_quiet_minute_a_connection_is_news_again() -> None:
    reports = Reports("1-a")
    reports.note("kim", "a:1", "opened", 100.0)
    reports.sent(reports.due(100.0 + EVERY))
    assert reports.note("kim", "a:1", "opened", 200.0)


def test_users_destinations_and_outcomes_are_counted_apart() -> None:
    reports = Reports("1-a")
    for user, key, outcome in (("kim", "a:1", "opened"), ("lee", "a:1", "opened"), ("kim", "b:1", "failed")):
        assert reports.note(user, key, outcome, 100.0)  # type: ignore[arg-type]
    assert len({each.id for each in reports.due(100.0)}) == 3


def test_what_was_not_taken_is_due_again_with_the_same_id() -> None:
    reports = Reports("1-a")
    reports.note("kim", "a:1", "opened", 100.0)
    assert reports.due(100.0) == reports.due(101.0) != []


def test_posts_are_bounded_and_in_order() -> None:
    reports = Reports("1-a")
    for number in range(AT_ONCE + 1):
        reports.note(f"user{number}", "a:1", "opened", float(number))
    due = reports.due(1.0)
    assert len(due) == AT_ONCE
    reports.sent(due)
    assert [each.user for each in reports.due(1.0)] == [f"user{AT_ONCE}"]


def test_too_much_unsent_is_full_and_refusals_do_not_make_it_grow() -> None:
    reports = Reports("1-a")
    for number in range(MOST_UNSENT):
        assert not reports.full
        reports.note(f"user{number}", "a:1", "opened", 1.0)
    assert reports.full
    assert not reports.note("one-more", "a:1", "refused", 1.0)
    reports.sent(reports.due(2.0))
    assert not reports.full


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    reports = Reports("1-a")
    for _ in range(2):
        reports.note("kim", "a:1", "opened", 1000.0)
    assert [each.count for each in reports.due(10.0)] == [1, 1]


def test_the_end_takes_what_is_still_being_counted() -> None:
    reports = Reports("1-a")
    for _ in range(3):
        reports.note("kim", "a:1", "opened", 100.0)
    assert [each.count for each in reports.due(101.0, end=True)] == [1, 2]
