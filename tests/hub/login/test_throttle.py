"""How long somebody waits, by a clock that the test holds."""

from __future__ import annotations

from cellar_hub.login import throttle
from cellar_hub.login.throttle import ADDRESS, BROWSER, DAY, FORGET, GRACE, NAME, PAIR, Row, Throttle, Waits, place

HERE, THERE = "10.0.0.1", "10.0.0.2"


def wrong(found: Throttle, name: str, address: str, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        found.failed(name, address, now)


def test_some_mistakes_are_free_and_then_each_doubles_the_wait() -> None:
    found = Throttle()
    wrong(found, "ann", HERE, PAIR.free - 1)
    assert found.waits("ann", HERE, 0.0) == Waits(0, True)
    told = []
    now = 0.0
    for _ in range(9):
        found.failed("ann", HERE, now)
        waits = found.waits("ann", HERE, now)
        told.append(waits.seconds)
        assert not waits.may and not found.waits("ann", HERE, now + waits.seconds - 0.1).may
        now += waits.seconds
        assert found.waits("ann", HERE, now).may, "after the seconds that were told"
    assert told == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    found.failed("ann", HERE, now)
    assert found.waits("ann", HERE, now).seconds == PAIR.longest
    assert found.waits("ann", HERE, now + FORGET).may
    found.failed("ann", HERE, now + FORGET)
    assert found.waits("ann", HERE, now + FORGET) == Waits(0, True), "begun anew"


def test_one_wrong_password_a_minute_keeps_nobody_waiting_for_ever() -> None:
    found = Throttle()
    for minute in range(600):
        found.failed("ann", THERE, 60.0 * minute)
    now = 60.0 * 600
    told = found.waits("ann", HERE, now)
    assert told.may or told.seconds <= NAME.longest
    assert found.waits("ann", HERE, now + NAME.longest).may


def test_a_refusal_is_a_promise_whatever_others_do_meanwhile() -> None:
    found = Throttle()
    for number in range(40):
        found.failed("ann", f"10.1.0.{number}", 0.0)
    told = found.waits("ann", HERE, 0.0)
    assert not told.may and told.seconds == NAME.longest
    assert found.waits("ann", HERE, 10.0).seconds == told.seconds - 10, "asked again, it is no longer"
    for number in range(40):
        found.failed("ann", f"10.2.0.{number}", float(number))
    assert found.waits("ann", HERE, told.seconds).may
    found.failed("ann", HERE, told.seconds)
    assert not found.waits("ann", HERE, told.seconds).may, "one try, and no more"
    again = found.waits("ann", HERE, told.seconds).seconds
    later = told.seconds + again + GRACE + 1
    found.failed("ann", THERE, later)
    assert not found.waits("ann", HERE, later).may, "who does not come has lost it"


def test_an_address_that_knows_the_password_waits_for_nothing_but_its_own_mistakes() -> None:
    found = Throttle()
    found.succeeded("ann", HERE, 1.0)
    for number in range(100):
        found.failed("ann", f"10.1.0.{number}", 10.0)
        found.failed(f"name{number}", HERE, 10.0)
    assert found.waits("ann", HERE, 10.0).may
    assert found.waits("ann", HERE, 10.0).seconds == found.waits("someone-else", HERE, 10.0).seconds > 0, (
        "and is told what anybody else there is told"
    )
    wrong(found, "ann", HERE, PAIR.free, 10.0)
    assert not found.waits("ann", HERE, 10.0).may
    found.succeeded("ann", HERE, 20.0)
    assert found.waits("ann", HERE, 20.0).may
    assert not found.knows("ann", THERE, 20.0) and not found.knows("ann", HERE, 100 * DAY)


def test_a_browser_that_knows_the_password_waits_for_what_was_typed_in_it_and_nothing_else() -> None:
    found = Throttle()
    wrong(found, "ann", HERE, 100)
    assert not found.waits("ann", HERE, 0.0).may and found.waits("ann", BROWSER + "1", 0.0).may
    wrong(found, "ann", BROWSER + "1", PAIR.free)
    assert not found.waits("ann", BROWSER + "1", 0.0).may and found.waits("ann", BROWSER + "2", 0.0).may
    found.excuse("ann", BROWSER + "1")
    assert found.waits("ann", BROWSER + "1", 0.0).may
    found.changed()
    found.excuse("kim", BROWSER + "3")
    assert found.changed() == ([], []), "its cookie remembers it"


def test_many_names_from_one_address_make_it_wait_and_no_other_address() -> None:
    found = Throttle()
    for number in range(ADDRESS.free + 10):
        found.failed(f"name{number}", HERE, 0.0)
    assert found.waits("ann", HERE, 0.0) == Waits(30, False)
    assert found.waits("ann", THERE, 0.0) == Waits(0, True)
    for _ in range(10):
        found.succeeded("mallory", HERE, 1.0)
    assert not found.waits("ann", HERE, 1.0).may, "an own account makes nobody innocent"


def test_a_class_that_begins_behind_one_router_makes_mistakes_and_gets_in() -> None:
    found = Throttle()
    for student in range(60):
        wrong(found, f"student{student}", HERE, 3, 1.0 + student)
        assert found.waits(f"student{student}", HERE, 1.0 + student).may, student
        found.succeeded(f"student{student}", HERE, 1.0 + student)


def test_passwords_that_are_compared_at_once_are_one_after_another() -> None:
    found = Throttle()
    with found.trying("ann", HERE), found.trying("ann", HERE), found.trying("ann", HERE):
        assert found.waits("ann", HERE, 0.0).may
        with found.trying("ann", HERE), found.trying("ann", HERE):
            assert not found.waits("ann", HERE, 0.0).may
    assert found.waits("ann", HERE, 0.0) == Waits(0, True)


def test_a_clock_that_was_set_back_keeps_nobody_out() -> None:
    found = Throttle()
    wrong(found, "ann", HERE, PAIR.free, 10_000.0)
    assert found.waits("ann", HERE, 100.0).seconds <= 1


def test_what_was_counted_is_there_in_the_next_process() -> None:
    found = Throttle()
    wrong(found, "ann", HERE, PAIR.free + 3)
    found.succeeded("kim", THERE, 1.0)
    rows, gone = found.changed()
    assert gone == [] and found.changed() == ([], [])
    after = Throttle([Row(row.name, row.failures, row.last, row.promised, row.succeeded) for row in rows])
    assert after.waits("ann", HERE, 0.0) == found.waits("ann", HERE, 0.0) == Waits(8, False)
    assert after.knows("kim", THERE, 2.0)
    after.forget("ann")
    assert after.waits("ann", HERE, 0.0) == Waits(0, True)


def test_what_is_kept_is_bounded_and_those_who_are_known_go_last() -> None:
    assert throttle.MOST == 50_000
    found = Throttle(Row(f"p:{number}:10.0.0.1", 1, float(number)) for number in range(throttle.MOST))
    found.succeeded("kim", HERE, 1.0)
    now = float(throttle.MOST)
    found.failed("ann", HERE, now)
    rows, gone = found.changed()
    assert len(gone) == throttle.MOST // 10 and "p:0:10.0.0.1" in gone
    assert found.knows("kim", HERE, now) and {row.name for row in rows} >= {"n:ann", "p:ann:10.0.0.1"}


def test_sign_ups_of_an_address_are_counted_by_the_day() -> None:
    found = Throttle()
    assert [found.signs_up(HERE, 3, 100.0 * number) for number in range(5)] == [True] * 3 + [False] * 2
    assert found.signs_up(THERE, 3, 500.0)
    assert found.signs_up(HERE, 3, DAY)


def test_a_machine_does_not_become_many_by_its_ipv6_addresses() -> None:
    assert place("2001:db8::1") == place("2001:db8::ffff:2") == "2001:db8::/64" != place("2001:db8:0:1::1")
    assert place("10.0.0.1") == "10.0.0.1" and place("nonsense") == "nonsense"
