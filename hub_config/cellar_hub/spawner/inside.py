"""What the probe runs inside of a container: standard library only, it is handed over as text to `python3 -c`.

One argument, JSON: {"listen": PORT} listens and says "ready"; {"reach": [[host, port]...], "names": [...],
"home": PATH} tries all of it at once and prints one JSON object: for each address "open", "refused" (something there
answers, though with no), "silent" or "no name"; which addresses somebody on this network answers for; for each name the
seconds until it failed, or where it led; and how the container sees itself. {"versions": [PACKAGE, ...]} prints those.

Design note. No route leads to an address outside of the network, but any program may send there all the same: it binds
its socket to the interface and asks for no route (no privilege is needed since Linux 5.7). The kernel then asks on the
network who has the address, and Linux answers for all its addresses on all its interfaces, unless `arp_ignore` is set.
So each address is tried in this way, too.
"""

import concurrent.futures
import importlib.metadata
import json
import os
import socket
import sys
import time
import typing

PATIENCE = 3.0


def reach(host: str, port: int) -> str:
    return how_it_ends(lambda: socket.create_connection((host, port), timeout=PATIENCE))


def reach_on_link(host: str, port: int) -> str:
    """The same without a route, by asking on the network who has the address."""
    return how_it_ends(lambda: connect_on_link(host, port))


def connect_on_link(host: str, port: int) -> socket.socket:
    link = next(name for _, name in socket.if_nameindex() if name != "lo")
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.settimeout(PATIENCE)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    found.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
    found.connect((host, port))
    return found


def how_it_ends(connect: "typing.Callable[[], socket.socket]") -> str:
    try:
        connect().close()
    except ConnectionRefusedError:
        return "refused"
    except socket.gaierror:
        return "no name"
    except OSError:
        return "silent"
    return "open"


def furthest(ends: "set[str]") -> str:
    return next(how for how in ("open", "refused", "no name", "silent") if how in ends)


def answered_for() -> "list[str]":
    """Addresses that somebody on this network has said to have."""
    with open("/proc/net/arp") as file:
        rows = [line.split() for line in file.read().splitlines()[1:]]
    return [row[0] for row in rows if int(row[2], 16) & 2]


def look_up(name: str) -> "float | str":
    began = time.monotonic()
    try:
        return str(socket.getaddrinfo(name, 80)[0][4][0])
    except OSError:
        return time.monotonic() - began


def writable(folder: str) -> bool:
    path = os.path.join(folder, ".cellar-probe")
    try:
        with open(path, "w"):
            pass
        os.unlink(path)
    except OSError:
        return False
    return True


def itself(home: str) -> "dict[str, object]":
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
    try:
        with open("/proc/net/if_inet6") as file:
            six = [line.split()[-1] for line in file.read().splitlines()]
    except OSError:
        six = []
    return {
        "user": os.getuid(),
        "capabilities": max(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd")),
        "no_new_privileges": status["NoNewPrivs"].strip() == "1",
        "seccomp": status.get("Seccomp", "0").strip() == "2",
        "root_writable": any(writable(folder) for folder in ("/", "/etc", "/usr", "/opt")),
        "home_writable": writable(home),
        "tmp_writable": writable("/tmp"),
        "ipv6": [name for name in six if name != "lo"],
        "docker": os.path.exists("/var/run/docker.sock"),
    }


def installed(name: str) -> str:
    """A package's version; empty when there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def main(asked: "dict[str, object]") -> None:
    if "listen" in asked:
        with socket.create_server(("0.0.0.0", int(str(asked["listen"])))) as server:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            while True:
                server.accept()[0].close()
    if "versions" in asked:
        sys.stdout.write(json.dumps({name: installed(name) for name in asked["versions"]}) + "\n")  # type: ignore[attr-defined]
        return
    addresses: list[list[object]] = asked["reach"]  # type: ignore[assignment]
    names: list[str] = asked["names"]  # type: ignore[assignment]
    with concurrent.futures.ThreadPoolExecutor(max(1, 2 * len(addresses) + len(names))) as pool:
        tried = [
            [pool.submit(way, str(host), int(str(port))) for way in (reach, reach_on_link)] for host, port in addresses
        ]
        looked = [pool.submit(look_up, name) for name in names]
        found = {
            "reach": [furthest({each.result() for each in ways}) for ways in tried],
            "answered": answered_for(),
            "names": [each.result() for each in looked],
            "itself": itself(str(asked["home"])),
        }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
