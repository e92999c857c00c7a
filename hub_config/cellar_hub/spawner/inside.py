"""What the probe runs inside of a container: standard library only, it is handed over as text to `python3 -c`.

One argument, JSON: {"listen": PORT} listens and says "ready"; {"reach": [[host, port]...], "names": [...],
"home": PATH} tries all of it at once and prints one JSON object: for each address "open", "refused" (something there
answers, though with no), "silent" or "no name"; for each name the seconds until it failed, or where it led; and how the
container sees itself.
"""

import concurrent.futures
import json
import os
import socket
import sys
import time

PATIENCE = 3.0


def reach(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return "refused"
    except socket.gaierror:
        return "no name"
    except OSError:
        return "silent"
    return "open"


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


def main(asked: "dict[str, object]") -> None:
    if "listen" in asked:
        with socket.create_server(("0.0.0.0", int(str(asked["listen"])))) as server:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            while True:
                server.accept()[0].close()
    addresses: list[list[object]] = asked["reach"]  # type: ignore[assignment]
    names: list[str] = asked["names"]  # type: ignore[assignment]
    with concurrent.futures.ThreadPoolExecutor(max(1, len(addresses) + len(names))) as pool:
        tried = [pool.submit(reach, str(host), int(str(port))) for host, port in addresses]
        looked = [pool.submit(look_up, name) for name in names]
        found = {
            "reach": [each.result() for each in tried],
            "names": [each.result() for each in looked],
            "itself": itself(str(asked["home"])),
        }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
