"""What is done when destinations, forwarders or owners change."""

from __future__ import annotations

from cellar_hub.destinations import Destination, share_out
from cellar_hub.leases import Lease, Network4
from cellar_hub.spawner.forwarding import Change, Owned, Running, change_of, number_of
from cellar_hub.spawner.names import FORWARDER

KIM = Owned("cellar-ws-kim", Network4("10.213.0.16/28"), "kim", ("analysts",))
NEW = {1: Running("one", frozenset()), 2: Running("two", frozenset())}
ON = {number: Running(each.id, frozenset({KIM.name})) for number, each in NEW.items()}


def planned(keys: str, before: Lease | None, running: dict[int, Running]) -> Change:
    named = [(name, int(port)) for name, _, port in (each.rpartition(":") for each in keys.split())]
    return change_of(KIM, share_out([Destination(name=n, port=p, to=(n, p)) for n, p in named], 2)[0], before, running)


def lease(shares: dict[int, tuple[str, ...]], **attached: str) -> Lease:
    numbers = {int(number.removeprefix("n")): each for number, each in attached.items()}
    return Lease(user="kim", groups=("analysts",), network=KIM.name, shares=shares, attached=numbers)


BOTH = lease({1: ("a:443", "c:1"), 2: ("b:443",)}, n1="one", n2="two")


def test_a_new_network_gets_each_forwarder_under_the_names_of_its_share() -> None:
    todo = planned("a:443 b:443 c:1", None, NEW)
    assert todo.attach == {"one": ("a", "c"), "two": ("b",)} and todo.detach == ()
    assert (todo.first.shares, todo.last) == ({}, BOTH)


def test_where_nothing_changed_nothing_is_done() -> None:
    assert planned("a:443 b:443 c:1", BOTH, ON) == Change(BOTH, (), {}, BOTH)


def test_a_user_without_destinations_gets_no_forwarder() -> None:
    todo = planned("", None, NEW)
    assert (todo.attach, todo.detach, todo.last.shares) == ({}, (), {})


def test_a_destination_that_was_taken_away_is_shut_before_its_name_goes() -> None:
    todo = planned("a:443 c:1", BOTH, ON)
    assert todo.first == todo.last == lease({1: ("a:443", "c:1")}, n1="one")
    assert (todo.detach, todo.attach) == (("two",), {})


def test_while_names_move_the_lease_holds_only_what_stays() -> None:
    todo = planned("b:443 c:1", BOTH, ON)
    assert todo.first.shares == {}
    assert set(todo.detach) == {"one", "two"} and todo.attach == {"one": ("b", "c")}
    assert todo.last == lease({1: ("b:443", "c:1")}, n1="one")


def test_a_forwarder_that_was_made_again_is_attached_again_and_the_other_stays() -> None:
    todo = planned("a:443 b:443 c:1", BOTH, ON | {1: Running("anew", frozenset())})
    assert (todo.detach, todo.attach) == ((), {"anew": ("a", "c")})
    assert todo.first.shares == {2: ("b:443",)} and todo.last.attached == {1: "anew", 2: "two"}


def test_a_forwarder_that_is_away_leaves_the_other_alone() -> None:
    todo = planned("a:443 b:443 c:1", BOTH, {2: ON[2]})
    assert (todo.detach, todo.attach, todo.last.shares) == ((), {}, {2: ("b:443",)})


def test_a_lease_that_was_lost_or_is_of_another_network_is_not_believed() -> None:
    other = Lease(user="lee", network="cellar-ws-lee", shares=BOTH.shares, attached=BOTH.attached)
    for before in (None, other):
        todo = planned("a:443 b:443 c:1", before, ON)
        assert set(todo.detach) == {"one", "two"} == set(todo.attach)
        assert (todo.first.shares, todo.last) == ({}, BOTH)


def test_changed_groups_are_told_without_touching_the_network() -> None:
    before = Lease(user="kim", groups=("other",), network=KIM.name, shares=BOTH.shares, attached=BOTH.attached)
    assert planned("a:443 b:443 c:1", before, ON) == Change(BOTH, (), {}, BOTH)


def test_a_label_that_is_no_number_is_no_forwarder() -> None:
    assert [number_of({"Labels": {FORWARDER: text}}) for text in ("2", "", "x", "-1", "٢", "100")] == [2, 0, 0, 0, 0, 0]
