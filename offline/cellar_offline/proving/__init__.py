"""The sealed proof: the stack runs where every container has a way out, and nothing takes it.

A container on an isolated network cannot show that it calls nobody: its calls fail before they become a packet. So each
container of the proof gets a leg of its own, IPv4 and IPv6, into a network namespace from which nothing leads on
(`sink`): one rule there counts and drops, and each packet is read with its sender. Names are answered by a resolver
that writes each one down (`resolver`). First the same is done on purpose from within each container (`controls`): what
is not counted then would not be counted later.
"""
