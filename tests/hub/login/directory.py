"""A real OpenLDAP server on loopback, in a folder of its own: a few people and groups."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import ldap3

from tests.fakes.fixtures import unused_port

SLAPD = shutil.which("slapd") or next((path for path in ("/usr/sbin/slapd",) if Path(path).exists()), None)
MISSING = "slapd is missing (apt-get install slapd): no test of LDAP ran"
BASE = "dc=example,dc=org"
PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
PASSWORD, SEARCH_PASSWORD = "a real password of LDAP", "the hub's own password"
ROOT_PASSWORD = "of-the-directory-itself"
SEARCHER = f"cn=hub,{BASE}"
CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCertificateFile {folder}/tls.crt
TLSCertificateKeyFile {folder}/tls.key
database mdb
suffix "{base}"
rootdn "cn=root,{base}"
rootpw {root}
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous auth
"""
ENTRIES = """\
dn: {base}
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: {people}
objectClass: organizationalUnit
ou: people

dn: {groups}
objectClass: organizationalUnit
ou: groups

dn: cn=hub,{base}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: hub
userPassword: {search}
"""


def entries(elsewhere: int) -> str:
    """`elsewhere`: the port of another server, which one of the groups is said to be at."""
    found = ENTRIES.format(base=BASE, people=PEOPLE, groups=GROUPS, search=SEARCH_PASSWORD)
    for name in ("ann", "ben", "cho", "Dee"):
        found += (
            f"\ndn: uid={name},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name} of the tests\n"
            f"sn: Test\nuserPassword: {PASSWORD}\n"
        )
    for group, members in (("staff", ("ann", "cho")), ("gpu, big", ("ann",)), ("guests", ("ben",))):
        escaped = group.replace(",", "\\,")
        found += f"\ndn: cn={escaped},{GROUPS}\nobjectClass: groupOfNames\ncn: {group}\n"
        found += "".join(f"member: uid={name},{PEOPLE}\n" for name in members)
    found += f"\ndn: cn=lab,{GROUPS}\nobjectClass: posixGroup\ncn: lab\ngidNumber: 7\nmemberUid: Dee\n"
    place = f"cn=moved,{GROUPS}"
    found += f"\ndn: {place}\nobjectClass: referral\nobjectClass: extensibleObject\ncn: moved\n"
    return found + f"ref: ldap://127.0.0.1:{elsewhere}/{place}\n"


class Slapd:
    """`plain` takes StartTLS and clear text, `tls` is ldaps. `elsewhere`: where it sends whoever asks for a group."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plain, self.tls = (f"{scheme}://127.0.0.1:{unused_port()}" for scheme in ("ldap", "ldaps"))
        self.elsewhere = socket.create_server(("127.0.0.1", 0))
        self.elsewhere.setblocking(False)
        (folder / "data").mkdir()
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
                *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "tls.key")),
                *("-out", str(folder / "tls.crt")),
            ],
            check=True,
            capture_output=True,
        )
        (folder / "slapd.conf").write_text(CONFIG.format(folder=folder, base=BASE, root=ROOT_PASSWORD))
        (folder / "entries.ldif").write_text(entries(self.elsewhere.getsockname()[1]))
        slapadd = [str(SLAPD), "-T", "add", "-f", str(folder / "slapd.conf"), "-l", str(folder / "entries.ldif")]
        subprocess.run(slapadd, check=True, capture_output=True)
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [str(SLAPD), "-f", str(self.folder / "slapd.conf"), "-h", f"{self.plain} {self.tls}", "-d", "0"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
        deadline = time.monotonic() + 20
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            port = int(self.plain.rpartition(":")[2])
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.05)

    def change_members(self, group: str, how: str, name: str) -> None:
        """`how`: ldap3.MODIFY_ADD or ldap3.MODIFY_DELETE."""
        server = ldap3.Server(self.plain, get_info=ldap3.NONE)
        connection = ldap3.Connection(server, f"cn=root,{BASE}", ROOT_PASSWORD, auto_bind=True)
        assert connection.modify(f"cn={group},{GROUPS}", {"member": [(how, [f"uid={name},{PEOPLE}"])]})
        connection.unbind()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Slapd]:
    found = Slapd(folder)
    try:
        yield found
    finally:
        found.stop()
        found.elsewhere.close()
