"""The console: the pages of administrators and of users, a service of the hub that people log in to with its account.

Server-rendered, in English and Korean, from this machine alone. What a page does at the hub it does with the token of
whoever looks at it: this process itself may do nothing there, and read no more than what the hub's settings offer.
"""

CONSOLE = "console"
"""Of this process at the hub (<hub>/services/console/) and in the audit."""
ADMIN = "admin:users"
"""The scope by which the hub says that somebody administers it."""
SCOPES = ("self", "tokens!user", "servers!user", ADMIN, "admin:servers", "admin:groups", "tokens", "read:hub")
"""What a token of the console may be asked for; each has of these what its user has."""
