"""The console: the pages of administrators and of users, a service of the hub that people log in to with its account.

Server-rendered, in English and Korean, from this machine alone. What a page does at the hub it does with the token of
whoever looks at it: this process itself may do nothing there, and read no more than what the hub's settings offer.
"""

CONSOLE = "console"
"""Of this process at the hub (<hub>/services/console/) and in the audit."""
ADMIN = "admin:users"
"""The scope by which the hub says that somebody administers it."""
SCOPES = ("read:users!user", "servers!user", "tokens!user", ADMIN, "servers", "tokens", "admin:groups")
"""What a token of the console may be asked for; each has of these what its user has. Of one's own: name and groups, to
start and stop one's workspace, to see and revoke tokens. The others are administrators': accounts, others' workspaces
and tokens, groups. Not `self`, which opens the workspace itself."""
