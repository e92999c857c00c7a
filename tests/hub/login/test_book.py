"""Who has an account, and in which state, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cellar_hub.login.book import Account, Book
from jupyterhub import orm
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session


@pytest.fixture
def db(database: str) -> Iterator[Session]:
    """JupyterHub's session, with a user whom nobody gave an account."""
    engine = create_engine(database)
    orm.Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(orm.User(name="admin"))
        session.commit()
        yield session
    engine.dispose()


def book_of(db: Session, is_local: bool = True) -> Book:
    return Book(db, is_local, lambda: 100.0)


def states(book: Book) -> dict[str, str]:
    return {each.name: each.state for each in book.listed()[1]}


def test_a_local_account_is_made_changed_blocked_and_let_in_again(db: Session) -> None:
    book = book_of(db)
    assert book.listed() == (0, []) and book.state("ann") is None
    book.put("ann", b"first")
    book.put("ann", b"second")
    book.put("bob", b"another")
    assert states(book) == {"ann": "allowed", "bob": "allowed"} and book.digest("ann") == b"second"
    book.block("ann")
    assert states(book) == {"ann": "blocked", "bob": "allowed"}
    assert book.allow("ann") and book.state("ann") == "allowed"
    assert not book.allow("admin"), "a user of the hub without a password here"
    book.block("admin")
    assert book.state("admin") == "blocked"
    book.remove("ann")
    assert book.find("ann") is None and book.digest("ann") is None


def test_accounts_of_before_there_was_our_table_live_on(db: Session) -> None:
    book = book_of(db)
    for name, may in (("old", True), ("closed", False)):
        row = {"name": name, "may": may, "secret": b"x"}
        insert = "insert into users_info (username, password, is_authorized) values (:name, :secret, :may)"
        db.execute(text(insert), row)
    db.commit()
    assert states(book) == {"old": "allowed", "closed": "blocked"}
    assert book.find("old") == Account("old", "allowed", None, "")
    book.block("old")
    db.execute(text("update users_info set is_authorized = :may"), {"may": True})
    assert book.state("old") == "blocked", "one of the two tables says so"
    assert book.allow("closed") and book.state("closed") == "allowed"


def test_a_sign_up_waits_and_takes_no_name_that_is_somebodys(db: Session) -> None:
    book = book_of(db)
    book.put("ann", b"hers")
    assert book.ask("new", b"digest", "from room 5", "10.0.0.1")
    db.commit()
    for taken in ("ann", "new", "admin"):
        assert not book.ask(taken, b"theirs", "", "10.0.0.2")
    db.commit()
    assert book.digest("ann") == b"hers" and book.digest("new") == b"digest" and book.digest("admin") is None
    assert book.find("new") == Account("new", "waiting", 100.0, "from room 5") and book.waiting() == ["10.0.0.1"]
    assert book.allow("new") and book.state("new") == "allowed" and book.waiting() == []


def test_who_has_waited_too_long_is_known_with_their_address_and_nobody_else(db: Session) -> None:
    book = book_of(db)
    for name in ("early", "let-in", "closed"):
        assert book.ask(name, b"digest", "", "10.0.0.1")
    book.allow("let-in")
    book.block("closed")
    book.put("ann", b"hers")
    assert book.overdue(100.0, 10) == [] and book.overdue(100.5, 10) == [("early", "10.0.0.1")]
    assert book.overdue(100.5, 0) == []
    book.remove("early")
    assert book.overdue(100.5, 10) == [] and book.ask("early", b"another", "", "10.0.0.2")


def test_a_password_is_renewed_where_it_is_the_one_that_was_compared_and_the_account_open(db: Session) -> None:
    book = book_of(db)
    book.put("ann", b"first")
    assert book.renew("ann", b"first", b"second") and book.digest("ann") == b"second"
    assert not book.renew("ann", b"first", b"third"), "an administrator gave another meanwhile"
    book.block("ann")
    assert not book.renew("ann", b"second", b"third") and book.state("ann") == "blocked"
    assert not book.renew("nobody", b"", b"third") and book.digest("nobody") is None


def test_accounts_are_listed_by_state_and_part_of_the_name_page_by_page(db: Session) -> None:
    book = book_of(db)
    for number in range(30):
        book.put(f"user{number:02}", b"x")
    book.ask("user_x", b"x", "", "")
    book.block("user07")
    db.commit()
    total, page = book.listed(offset=10, limit=5)
    assert (total, [each.name for each in page]) == (31, [f"user{number}" for number in range(10, 15)])
    assert [each.name for each in book.listed("blocked")[1]] == ["user07"]
    assert [each.name for each in book.listed("waiting", "USER")[1]] == ["user_x"]
    assert book.listed("", "r_")[0] == 1 and book.listed("", "%")[0] == 0, "no pattern of the database's"


def test_where_a_directory_decides_the_hubs_users_are_the_accounts(db: Session) -> None:
    book = book_of(db, is_local=False)
    assert states(book) == {"admin": "allowed"}
    book.block("nobody-yet")
    book.block("admin")
    assert states(book) == {"admin": "blocked", "nobody-yet": "blocked"}
    assert book.allow("admin") and states(book)["admin"] == "allowed" and not book.is_named("admin")
    assert book.allow("nobody-yet") and book.state("nobody-yet") is None, "as the directory says"
    book.put("kim", None)
    assert book.is_named("kim")
    book.block("kim")
    assert not book.is_named("kim")
    assert book.allow("kim") and book.is_named("kim"), "whom an administrator named stays named"


def test_the_last_administrator_is_the_only_one_who_may_log_in(db: Session) -> None:
    for is_local in (True, False):
        book = book_of(db, is_local)
        for name in ("chief", "deputy", "ann"):
            if is_local:
                db.add(orm.User(name=name, admin=name != "ann"))
                book.put(name, b"digest")
        assert not any(map(book.is_last_admin, ("chief", "deputy", "ann")))
        book.block("deputy")
        assert [each for each in ("chief", "deputy", "ann", "admin") if book.is_last_admin(each)] == ["chief"]
        book.allow("deputy")
    db.query(orm.User).filter_by(name="admin").one().admin = True
    db.commit()
    book_of(db).block("deputy")
    assert book_of(db).is_last_admin("chief"), "whom the settings name, and who has no account here"
    assert not book_of(db, is_local=False).is_last_admin("chief"), "but may come from a directory"
