"""What the log-in page says to whoever does not get in, and when to try again. The texts stand in the catalogue of the
hub's pages, too, in both languages."""

from __future__ import annotations

from tornado.web import HTTPError

WRONG = "Invalid username or password"
WRONG_OR_WAITING = "Invalid username or password, or an account that still waits for approval"
"""Where one can ask for an account. A text of its own for those who wait would tell whoever asked which names are free.
"""
TOO_MANY = "Too many wrong passwords. Please try again in {seconds} seconds."
CROWDED = "Too many people log in at this moment. Please try again in {seconds} seconds."
AWAY = "The hub's database does not answer. Please try again in {seconds} seconds."
DIRECTORY_AWAY = "The directory does not answer. Please try again in {seconds} seconds."
ODD_PROVIDER = "The log-in is not set up as its provider has it. Please tell the administrator."
NOT_VOUCHED = "The log-in was not completed. Please try again."
NO_USER = "You may not use this hub. Please ask its administrator."

# where one asks for an account
OFTEN = "Too many people asked for an account from your network today. Please ask the administrator."
NETWORK_FULL = "Too many people from your network wait for approval. Please ask the administrator."
FULL = "Too many people wait for approval. Please ask the administrator."
TWO_PASSWORDS = "the two passwords differ"
ODD_PASSWORD = "this password is easily guessed: take another"

# where one changes one's password
WRONG_OLD = "The old password is wrong."
SAME_PASSWORD = "the new password is the old one"


class Refused(HTTPError):
    """`text` with the seconds after which to try again, where there are some. The API that makes tokens says 403."""

    def __init__(self, status: int, text: str, seconds: int = 0) -> None:
        self.text = text.replace("{seconds}", str(seconds))
        super().__init__(status, "%s", self.text)
        self.headers = {"Retry-After": str(seconds)} if seconds else {}
