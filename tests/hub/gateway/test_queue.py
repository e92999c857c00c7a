"""Who is next at a model server."""

from __future__ import annotations

import asyncio

import pytest
from cellar_hub.gateway.queue import Class, FairQueue, QueueFull, Ticket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def enter(
    queue: FairQueue, user: str, klass: Class = "chat", cost: int = 10, waiting: int = 100, running: int = 100
) -> Ticket:
    return queue.enter(user, klass, cost=cost, max_waiting=waiting, max_running=running)


def serve(queue: FairQueue, tickets: list[Ticket], tokens: int = 50) -> list[str]:
    """Whoever runs is served and leaves, one after the other, until nobody is left: the users in that order."""
    order = []
    left = list(tickets)
    while left:
        ticket = next(each for each in left if each.state == "running")
        order.append(ticket.user)
        ticket.charge(tokens)
        ticket.leave()
        left.remove(ticket)
    assert queue.running == queue.waiting == 0
    return order


async def test_who_finds_room_is_admitted_at_once() -> None:
    queue = FairQueue(2)
    ticket = enter(queue, "a")
    assert ticket.state == "running"
    await ticket.admitted()
    assert (queue.running, queue.waiting) == (1, 0)


@pytest.mark.parametrize("places", [1, 2, 8])
async def test_one_user_with_fifty_requests_delays_another_by_one_slot_at_most(places: int) -> None:
    queue = FairQueue(places)
    many = [enter(queue, "greedy") for _ in range(50)]
    one = enter(queue, "modest")
    assert one.place()[1] == 0
    next(each for each in many if each.state == "running").leave()
    assert one.state == "running"


async def test_two_users_share_by_tokens_not_by_requests() -> None:
    queue = FairQueue(1)
    block = enter(queue, "x")
    long = [enter(queue, "long", cost=100) for _ in range(4)]
    short = [enter(queue, "short", cost=10) for _ in range(16)]
    block.leave()
    order = serve(queue, long + short, tokens=0)
    assert order[:12].count("short") >= 8  # ten short ones cost as much as one long one
    assert order[-1] == "long"


async def test_answers_are_charged_while_they_stream() -> None:
    queue = FairQueue(2)  # too few for a share of completions
    talker, other = enter(queue, "talker"), enter(queue, "other", cost=20)
    next_of_talker, next_of_other = enter(queue, "talker"), enter(queue, "other", cost=20)
    assert next_of_talker.place() == (1, 0)
    talker.charge(100)
    queue._changed("main")
    other.leave()
    assert next_of_other.state == "running" and next_of_talker.state == "waiting"


async def test_who_comes_back_has_saved_nothing_up() -> None:
    queue = FairQueue(1)
    busy = enter(queue, "busy")
    waiting = [enter(queue, "busy") for _ in range(3)]
    busy.charge(10_000)
    back = [enter(queue, "back") for _ in range(3)]
    busy.leave()
    order = serve(queue, waiting + back, tokens=50)
    assert order == ["back", "busy", "back", "busy", "back", "busy"]


async def test_who_worked_alone_does_not_pay_for_it() -> None:
    queue = FairQueue(1)
    for _ in range(20):
        alone = enter(queue, "alone", cost=1000)
        alone.charge(1000)
        alone.leave()
    block = enter(queue, "new")
    mine, theirs = enter(queue, "alone"), [enter(queue, "new") for _ in range(10)]
    block.leave()
    assert "alone" in serve(queue, [mine, *theirs])[:2]


async def test_chat_goes_before_agent_before_batch() -> None:
    queue = FairQueue(1)
    block = enter(queue, "x")
    tickets = [enter(queue, "b", "batch"), enter(queue, "a", "agent"), enter(queue, "c", "chat")]
    block.leave()
    assert serve(queue, tickets) == ["c", "a", "b"]


async def test_batch_leaves_half_of_the_places() -> None:
    queue = FairQueue(8)  # one of them is for completions
    batches = [enter(queue, f"b{i}", "batch") for i in range(8)]
    assert [each.state for each in batches].count("running") == 3
    assert enter(queue, "c").state == "running"
    batches[0].leave()
    assert [each.state for each in batches].count("running") == 3


async def test_ghost_text_waits_behind_no_chat() -> None:
    queue = FairQueue(8)
    chats = [enter(queue, f"u{i}") for i in range(20)]
    assert [each.state for each in chats].count("running") == 7
    assert enter(queue, "u0", "completion").state == "running"
    assert queue.running == 8


async def test_ghost_text_of_one_user_takes_not_all_of_its_share() -> None:
    queue = FairQueue(64)
    mine = [enter(queue, "a", "completion") for _ in range(4)]
    assert [each.state for each in mine] == ["running", "running", "waiting", "waiting"]
    with pytest.raises(QueueFull):
        enter(queue, "a", "completion")
    assert enter(queue, "b", "completion").state == "running"


async def test_a_user_has_a_bound_of_running_requests() -> None:
    queue = FairQueue(10)
    mine = [enter(queue, "a", running=2) for _ in range(3)]
    assert [each.state for each in mine] == ["running", "running", "waiting"]
    assert enter(queue, "b", running=2).state == "running"
    mine[0].leave()
    assert mine[2].state == "running"


async def test_the_queue_is_bounded_per_user_and_in_all() -> None:
    queue = FairQueue(1, max_waiting=3)
    enter(queue, "a")
    for _ in range(2):
        enter(queue, "a", waiting=2)
    with pytest.raises(QueueFull) as refused:
        enter(queue, "a", waiting=2)
    assert refused.value.whose == "user"
    enter(queue, "b")
    with pytest.raises(QueueFull) as refused:
        enter(queue, "c")
    assert refused.value.whose == "all"
    assert queue.waiting == 3


async def test_a_wait_that_would_be_too_long_is_refused_at_the_door() -> None:
    clock = Clock()
    queue = FairQueue(1, max_wait=60, clock=clock)
    first = enter(queue, "a")
    clock.now += 50
    first.leave()
    enter(queue, "a")
    waiting = enter(queue, "b")
    assert queue.wait_of(waiting) == 50
    with pytest.raises(QueueFull) as refused:
        enter(queue, "c")
    assert refused.value.whose == "wait" and refused.value.wait == 100


async def test_positions_count_down() -> None:
    queue = FairQueue(1)
    running = enter(queue, "x")
    a = [enter(queue, "a") for _ in range(3)]
    b = enter(queue, "b")
    assert [each.place() for each in (*a, b)] == [(1, 0), (3, 2), (4, 3), (2, 1)]
    running.leave()
    assert [each.place() for each in (a[1], a[2], b)] == [(2, 1), (3, 2), (1, 0)]


async def test_whoever_gives_up_frees_the_place_at_any_moment() -> None:
    queue = FairQueue(1)
    first, second, third = enter(queue, "a"), enter(queue, "b"), enter(queue, "c")
    second.leave()
    second.leave()
    assert queue.waiting == 1
    first.leave()
    first.leave()
    assert third.state == "running"
    third.leave()
    assert (queue.running, queue.waiting) == (0, 0)


async def test_a_cancelled_wait_keeps_the_place_until_it_is_left() -> None:
    queue = FairQueue(1)
    first, second = enter(queue, "a"), enter(queue, "b")
    wait = asyncio.create_task(second.admitted())
    await asyncio.sleep(0)
    wait.cancel()
    await asyncio.gather(wait, return_exceptions=True)
    first.leave()
    assert second.state == "running"
    await second.admitted()


async def test_counters_of_users_long_gone_are_forgotten() -> None:
    queue = FairQueue(1)
    for number in range(25_000):
        enter(queue, f"user{number}").leave()
    assert len(queue._counters) < 11_000
