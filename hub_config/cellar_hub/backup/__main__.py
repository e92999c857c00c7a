"""`python -m cellar_hub.backup STEP`: what hub_config/compose/backup.sh asks for, in a container for each step.

Exit status 0: done. 2: not done, with the reason on standard error.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cellar.settings import SettingsError
from sqlalchemy.exc import SQLAlchemyError

from ..store import StoreDown
from . import copies, packing, sealing, staging
from .archive import check
from .manifest import Manifest, Refused

IN = Path("/backup")
"""Where volumes are: `volumes` and `workspaces`, each by its name."""
IDENTITY = Path("/identity")
"""The file of a private key."""

STEPS: dict[str, Callable[[Path], None]] = {
    "switch": staging.switch,
    "ready": staging.ready,
    "undo": staging.undo,
    "finish": staging.finish,
}
"""What is done to each volume."""


def parser() -> argparse.ArgumentParser:
    program = argparse.ArgumentParser(prog="cellar-hub", description="See hub_config/compose/cellar-hub backup --help.")
    steps = program.add_subparsers(dest="step", required=True)
    for name in ("plan", "note", "pack"):
        # no abbreviations: the script knows the words, too, and would mount no volume for --vol
        step = steps.add_parser(name, prog="cellar-hub backup --to FILE", allow_abbrev=False)
        step.add_argument("--recipient", action="append", default=[], metavar="KEY", help="encrypt to this public key")
        step.add_argument("--volumes", action="store_true", help="with the workspaces' volumes, without conversations")
        step.add_argument("--conversations", action="store_true", help="and with conversations")
    steps.add_parser("keep").add_argument("name")
    steps.add_parser("begin").add_argument("heads", nargs="?", default=packing.HEADS)
    steps.add_parser("drop")
    steps.add_parser("check")
    steps.add_parser("stage")
    steps.add_parser("give").add_argument("name")
    for name in ("switch", "ready", "undo", "finish", "renew-hub", "renew-gateway"):
        steps.add_parser(name)
    return program


def check_options(options: argparse.Namespace) -> None:
    """Raises Refused."""
    if options.conversations and not options.volumes:
        raise Refused("--conversations lie in the workspaces' volumes: add --volumes")
    if options.conversations and not options.recipient:
        raise Refused("--conversations: what people asked and were answered leaves the site encrypted or not at all; "
                      "name a key with --recipient")  # fmt: skip
    sealing.parse_recipients(options.recipient)


def run(options: argparse.Namespace, env: Mapping[str, str], folder: Path = IN) -> None:
    """Raises what `main` tells."""
    volumes, workspaces = folder / "volumes", folder / "workspaces"
    spool = volumes / staging.SPOOL / f"{copies.SPOOL}.dumps"
    source, out = sys.stdin.buffer, sys.stdout.buffer
    match options.step:
        case "plan":
            check_options(options)
        case "note":
            from . import renewal

            what = "with conversations" if options.conversations else "without conversations"
            workspaces_too = what if options.volumes else "no"
            renewal.note_backup(env, workspaces=workspaces_too, encrypted="yes" if options.recipient else "no")
        case "pack":
            check_options(options)
            recipients = sealing.parse_recipients(options.recipient)
            with sealing.sealed(out, recipients) as file:
                how = {"conversations": options.conversations, "sealed": bool(recipients)}
                manifest = packing.pack(file, source, volumes, workspaces, spool, **how)
            out.flush()
            packing.tell(manifest)
        case "keep":
            packing.keep(source, spool / f"{options.name}.dump")
        case "begin":
            packing.begin(volumes, spool, options.heads)
        case "drop":
            shutil.rmtree(spool, ignore_errors=True)
        case "check":
            with sealing.unsealed(source, identities()) as file:
                manifest = check(file)
            packing.tell(manifest)
            for line in told(manifest):
                print(line)  # noqa: T201 - the script reads it
        case "stage":
            with sealing.unsealed(source, identities()) as file:
                staging.stage(file, out, volumes, workspaces)
            out.flush()
        case "give":
            with staging.staged(volumes, options.name).open("rb") as dump:
                shutil.copyfileobj(dump, out)
            out.flush()
        case "switch" | "ready" | "undo" | "finish":
            for volume in staging.all_volumes(volumes, workspaces):
                STEPS[options.step](volume)
        case "renew-hub" | "renew-gateway":
            from . import renewal  # it imports JupyterHub, which takes a second

            for line in {"renew-hub": renewal.renew_hub, "renew-gateway": renewal.renew_gateway}[options.step](env):
                sys.stderr.write(f"{line}\n")


def identities() -> list[object]:
    """The private keys that this step was given."""
    return sealing.parse_identities(IDENTITY.read_bytes()) if IDENTITY.is_file() else []


def told(manifest: Manifest) -> list[str]:
    """For the script, a word and a value a line. Names are checked, labels hold no line's end."""
    lines = [f"site {manifest.site}", f"at {manifest.at}", f"cellar {manifest.cellar}"]
    lines += [f"compose {name}" for name in manifest.compose]
    lines += [f"database {name}" for name in manifest.databases]
    lines += ["elsewhere yes"] if manifest.elsewhere else []
    lines += [f"volume {name}" for name in manifest.volumes]
    lines += [f"external {name}" for name in manifest.external]
    for workspace in manifest.workspaces:
        lines.append(f"workspace {workspace.volume}")
        lines += [f"label {key}={value}" for key, value in workspace.labels.items()]
    return lines


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """The exit status."""
    os.umask(0o077)
    try:
        run(parser().parse_args(arguments), env)
    except (Refused, SettingsError, StoreDown) as problem:
        sys.stderr.write(f"cellar-hub: {problem}\n")
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"cellar-hub: {where}{error.strerror or error}\n")
        return 2
    except SQLAlchemyError as error:
        sys.stderr.write(f"cellar-hub: {type(error).__name__}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
