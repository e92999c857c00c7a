"""The table of destinations: what is refused by name, and how it is shared out among forwarders."""

from __future__ import annotations

import ipaddress

import pytest
from cellar.settings import SettingsError
from cellar_hub.destinations import Destination, address_of, check_targets, is_own, share_out
from cellar_hub.policy import parse_policy

POOL = ipaddress.IPv4Network("10.213.0.0/16")


def table(*rows: str) -> str:
    return "".join(f"[[destinations]]\n{row}\n" for row in rows)


def parsed(*rows: str) -> tuple[Destination, ...]:
    return parse_policy(table(*rows), "policy.toml").destinations


def destination(key: str) -> Destination:
    name, _, port = key.rpartition(":")
    return Destination(name=name, port=int(port), to=(name, int(port)))


@pytest.mark.parametrize(
    ("row", "to"),
    [
        ('name = "warehouse.corp"\nport = 5432', ("warehouse.corp", 5432)),
        ('name = "wiki"\nport = 443\nto = "wiki-7.corp:8443"', ("wiki-7.corp", 8443)),
        ('name = "wiki"\nport = 443\nto = "10.1.2.3:443"', ("10.1.2.3", 443)),
        ('name = "wiki"\nport = 443\nto = "[fd00::7]:443"', ("fd00::7", 443)),
    ],
)
def test_a_destination_leads_where_it_says_or_to_its_own_name(row: str, to: tuple[str, int]) -> None:
    (found,) = parsed(row)
    assert found.to == to


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('name = "hub"\nport = 8081\nto = "x.corp:1"', "every workspace uses already"),
        ('name = "gateway"\nport = 1\nto = "x.corp:1"', "every workspace uses already"),
        ('name = "postgres"\nport = 1\nto = "x.corp:1"', "every workspace uses already"),
        ('name = "localhost"\nport = 1\nto = "x.corp:1"', "every workspace uses already"),
        ('name = "a.localhost"\nport = 1\nto = "x.corp:1"', "every workspace uses already"),
        ('name = "host.docker.internal"\nport = 1\nto = "x.corp:1"', "every workspace uses already"),
        ('name = "Warehouse.corp"\nport = 1', "no DNS name"),
        ('name = "a_b.corp"\nport = 1', "no DNS name"),
        ('name = "-a.corp"\nport = 1', "no DNS name"),
        ('name = "a..corp"\nport = 1', "no DNS name"),
        ('name = ""\nport = 1', "no DNS name"),
        ('name = "창고.corp"\nport = 1', "no DNS name"),
        ('name = "10.1.2.3"\nport = 1', "no DNS name"),
        ('name = "1.0x7f"\nport = 1', "no DNS name"),
        (f'name = "{"a." * 127}corp"\nport = 1', "no DNS name"),
        ('name = "a.corp"\nport = 0', "its port is none"),
        ('name = "a.corp"\nport = 65536', "its port is none"),
        ('name = "a.corp"\nport = "5432"', "wrong value"),
        ('name = "a.corp"\nport = 1\nto = "b.corp"', "is not HOST:PORT"),
        ('name = "a.corp"\nport = 1\nto = "b.corp:0"', "is not HOST:PORT"),
        ('name = "a.corp"\nport = 1\nto = "http://b.corp:80"', "is not HOST:PORT"),
        ('name = "a.corp"\nport = 1\nto = "fd00::7:443"', "is not HOST:PORT"),
        ('name = "a.corp"\nport = 1\nto = "b.corp:٤٤٣"', "is not HOST:PORT"),
        ('name = "a.corp"\nport = 1\nto = "localhost:22"', "the hub's own side"),
        ('name = "a.corp"\nport = 1\nto = "hub:8081"', "the hub's own side"),
        ('name = "a.corp"\nport = 1\nto = "127.0.0.1:22"', "the hub's own side"),
        ('name = "a.corp"\nport = 1\nto = "0.0.0.0:22"', "the hub's own side"),
        ('name = "a.corp"\nport = 1\nto = "169.254.169.254:80"', "the hub's own side"),
        ('name = "a.corp"\nport = 1\nto = "[::1]:80"', "the hub's own side"),
        ('name = "a.corp"\nport = 1\nto = "[fe80::1]:80"', "the hub's own side"),
        ('name = "a.corp"\nport = 1\nto = "[::ffff:127.0.0.1]:80"', "the hub's own side"),
        ('name = "a.corp"\nport = 1\nmore = 1', "wrong value"),
    ],
)
def test_a_destination_that_cannot_be_is_refused_with_its_name(row: str, words: str) -> None:
    with pytest.raises(SettingsError, match=r"^policy\.toml") as refused:
        parsed(row)
    assert words in str(refused.value)


def test_a_destination_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="twice"):
        parsed('name = "a.corp"\nport = 1', 'name = "a.corp"\nport = 1\nto = "b.corp:1"')


def test_a_group_that_names_an_unknown_destination_is_refused_with_both_names() -> None:
    text = table('name = "a.corp"\nport = 1') + '[groups.analysts]\ndestinations = ["a.corp:2"]\n'
    with pytest.raises(SettingsError, match=r"\[groups.analysts\].*a\.corp:2"):
        parse_policy(text, "policy.toml")


def test_nobody_has_a_destination_by_default_and_groups_add_theirs_in_the_tables_order() -> None:
    rows = table(*(f'name = "{name}.corp"\nport = 1' for name in "abc"))
    text = f'{rows}[groups.one]\ndestinations = ["c.corp:1"]\n[groups.two]\ndestinations = ["a.corp:1", "c.corp:1"]\n'
    policy = parse_policy(text, "policy.toml")
    assert policy.for_("kim", ()).destinations == ()
    assert [each.key for each in policy.for_("kim", ("one", "two")).destinations] == ["a.corp:1", "c.corp:1"]


def test_a_destination_in_the_workspaces_own_addresses_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"policy.toml.*a\.corp:1"):
        check_targets(parsed('name = "a.corp"\nport = 1\nto = "10.213.4.4:80"'), POOL, "policy.toml")
    check_targets(parsed('name = "a.corp"\nport = 1\nto = "10.214.4.4:80"'), POOL, "policy.toml")


@pytest.mark.parametrize("text", ["::ffff:10.213.0.5", "10.213.255.255", "::", "224.0.0.1", "ff02::1"])
def test_an_address_of_the_site_is_known_in_every_spelling(text: str) -> None:
    address = address_of(text)
    assert address is not None and is_own(address, (POOL,))


def keys(shares: object) -> object:
    return [[each.key for each in share] for share in shares]  # type: ignore[attr-defined]


def test_destinations_with_one_port_go_to_one_forwarder_each_and_others_to_the_first() -> None:
    all_of_them = [destination(each) for each in ("a:443", "b:443", "c:5432", "d:443")]
    shares, without = share_out(all_of_them, 2)
    assert keys(shares) == [["a:443", "c:5432"], ["b:443"]]
    assert [each.key for each in without] == ["d:443"]


def test_a_name_goes_as_a_whole_to_one_forwarder() -> None:
    """Else the name would have two addresses, and one of them somebody else's port."""
    shares, without = share_out([destination(each) for each in ("a:443", "b:5432", "b:443")], 2)
    assert keys(shares) == [["a:443"], ["b:5432", "b:443"]]
    assert without == ()


def test_without_forwarders_nobody_reaches_anything() -> None:
    assert share_out([destination("a:1")], 0) == ((), (destination("a:1"),))
