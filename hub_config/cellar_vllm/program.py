"""The program `cellar-vllm`: which model for which GPU, what fits, and serving it.

0: done. 1: the answer is no (it does not fit), or what was served has ended by itself and may be started again. 2: it
could not be done, with the reason; again would not help.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from pathlib import Path
from typing import Any

from cellar_vllm import command, folder, presets, serving
from cellar_vllm.fit import SHARE, Fit, fit, least_gpu, spread
from cellar_vllm.weights import GIB, BadWeights, Weights, read

CARD = "memory of one card: 24 for one sold as 24 GB, or what nvidia-smi says: 23034MiB"
LENGTHS = (2048, 4096, 8192, 16384, 32768, 65536, 131072)  # tokens of one request, for the table of `fit`
KEEPS = 1024  # tokens; a context below this is of no use to anybody
LARGEST = 4096 * GIB  # no card has so much
SPARE = 0.9  # of what fits by estimate, where no preset says how long a context shall be


class Unusable(Exception):
    """What was asked for cannot be done; the message is for a person."""


def parser() -> argparse.ArgumentParser:
    program = argparse.ArgumentParser(
        prog="cellar-vllm", description="Chooses, measures and serves a model with vLLM, without internet."
    )
    commands = program.add_subparsers(dest="command", required=True)
    commands.add_parser("presets", help="what to serve on which GPU")
    fits = commands.add_parser("fit", help="how many people and how much context fit on a GPU")
    fits.add_argument("--gpu", type=_gib, required=True, metavar="GIB", help=CARD)
    fits.add_argument("--model", required=True, help="a preset's name, or a folder of weights")
    fits.add_argument("--role", default="", help="chat or completion, where a preset serves two models")
    fits.add_argument("--gpus", type=_count, default=1, help="cards that the model is spread over")
    serve = commands.add_parser("serve", help="serve a model (more options for vLLM behind --)")
    serve.add_argument("--preset", help="a preset's name; without it everything is taken from the weights")
    serve.add_argument("--role", default="", help="chat or completion: of a preset with two models, or of a base model")
    serve.add_argument("--weights", type=Path, metavar="FOLDER", help="the model's weights")
    serve.add_argument("--name", default="", help="the model's name in requests (the folder's)")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=_port, default=8001)
    serve.add_argument("--gpus", type=_count, default=1, help="cards that one copy is spread over")
    serve.add_argument("--copies", type=_count, default=1, help="copies of the model, each on cards of its own")
    serve.add_argument("--gpu", type=_gib, metavar="GIB", help=CARD + " (the preset's)")
    serve.add_argument("--context", type=_context, help="longest prompt and answer together, tokens")
    serve.add_argument("--tools", metavar="PARSER", help="format of the model's calls of tools (the preset's)")
    for each in (fits, serve):
        each.add_argument("--share", type=_share, help="of the memory that vLLM may take (the preset's, else 0.92)")
        each.add_argument("--kv", choices=["16", "8"], default="16", help="bits of a number in the cache: 8 is fp8")
    serve.add_argument("--dry-run", action="store_true", help="print the command and its environment")
    serve.add_argument("options", nargs="*", metavar="-- OPTION", help="options for vLLM, as they are")
    return program


def show_presets() -> int:
    for preset in presets.load().values():
        print(f"{preset.name}  ({preset.gpu_gib:g} GiB)  {preset.note}")
        for serve in preset.serve:
            room = fit(serve.weights, preset.gpu_gib * GIB, share=serve.share)
            print(
                f"    {serve.role}: {serve.model}, {serve.licence}, {serve.weights.quantisation or 'bf16'}, context "
                f"{serve.context}, at once of 4,096 tokens each: {room.requests(4096)}"
                + (f", completes code by {serve.fim}" if serve.fim else "")
                + (f", commit {serve.revision}" if serve.revision else "")
            )
    print("Where no commit stands, none is pinned: your copy of the weights records its own, and `serve` says which.")
    return 0


def show_fit(options: argparse.Namespace) -> int:
    weights, share, least = _asked(options)
    _spread(weights, options.gpus)
    room = fit(weights, options.gpu, gpus=options.gpus, share=share, kv_number=int(options.kv) // 8)
    cards = f"{options.gpus} x " if options.gpus > 1 else ""
    print(f"{weights.name} on {cards}{options.gpu / GIB:g} GiB, of which vLLM takes {share:.0%}:")
    print(f"  memory taken        {_gibs(room.memory)}")
    print(f"  weights             {_gibs(-weights.size)}")
    print(f"  vLLM itself         {_gibs(-room.overhead)}   activations, CUDA graphs; an estimate")
    print(f"  keys and values     {_gibs(room.room)}   {room.kv_bytes / 1024:g} KiB a token: {room.tokens} tokens")
    for line in _kept(weights):
        print(f"                                   {line}")
    if room.tokens < KEEPS:
        need = least_gpu(weights, least, gpus=options.gpus, share=share, kv_number=int(options.kv) // 8)
        gib = f"{ceil(need / GIB)} GiB"
        cards = f"{options.gpus} cards of {gib} each" if options.gpus > 1 else f"a card of {gib}"
        needs = f"With a context of {least} it needs {cards}" if need < LARGEST else "It needs a larger --share"
        print(f"It does not fit. {needs}, or a smaller build of")
        print("the same model: FP8 takes half of bf16, AWQ or GPTQ (4 bits) about a third.")
        return 1
    print(
        f"Longest context: {room.context} tokens" + (" (all the model can)" if room.context == weights.context else "")
    )
    print("Requests at once, if each is so long (question, context and answer):")
    for length in LENGTHS:
        if length <= room.context:
            print(f"  {length:>7} tokens   {room.requests(length):>5}")
    print("Of the people who are logged in about one in ten is asking at any time: ten times as many can work with it.")
    return 0


def _kept(weights: Weights) -> list[str]:
    """What a request holds beside the keys and values of its whole context."""
    lines = []
    if weights.windowed:
        lines.append(f"and those of the last {weights.window} tokens in {weights.windowed} layers")
    if weights.state:
        lines.append(f"and {weights.state / 2**20:.0f} MiB a request in layers with a state")
    return [*lines, f"{weights.unknown}"] if weights.unknown else lines


def serve(options: argparse.Namespace) -> int:
    server = _described(options) if options.weights is None else _server(options)
    try:
        arguments = server.options()
    except command.BadOption as error:
        raise Unusable(str(error)) from None
    added = dict(command.ENVIRONMENT)
    line = [sys.executable, "-m", *_entry(server.weights), *arguments]
    if options.dry_run:
        for name, value in added.items():
            print(f"{name}={shlex.quote(value)} \\")
        print(" \\\n    ".join(shlex.quote(part) for part in ["vllm", "serve", str(server.weights), *arguments]))
        return 0
    if not os.environ.get("VLLM_API_KEY") and server.host not in ("127.0.0.1", "::1", "localhost"):
        raise Unusable(
            f"VLLM_API_KEY is not set, and {server.host} can be reached by others. Set a key of 32 characters."
        )
    sys.stdout.flush()
    try:
        return serving.run(line, os.environ | added)
    except OSError as error:
        raise Unusable(f"{sys.executable} cannot be run: {error}") from None


def _entry(weights: Path) -> list[str]:
    """The module that `vllm serve` is; builds of vLLM under another name do not find themselves by it."""
    try:
        version("vllm")
    except PackageNotFoundError:
        return ["vllm.entrypoints.openai.api_server", f"--model={weights}"]
    return ["vllm.entrypoints.cli.main", "serve", str(weights)]


def _described(options: argparse.Namespace) -> command.Server:
    """A preset's server, before its weights are here."""
    if not (options.dry_run and options.preset):
        raise Unusable("Say which folder of weights is to be served: --weights FOLDER.")
    wanted = presets.find(options.preset).role(options.role)
    weights = replace(wanted.weights, name=wanted.model.rpartition("/")[2])
    return _by_preset(options, wanted, weights, Path("/models") / weights.name)


def _server(options: argparse.Namespace) -> command.Server:
    folder.check(options.weights, tokenizer=not _brings(options, "--tokenizer"))
    found = read(options.weights)
    commit = found.revision or "not recorded by the folder"
    sys.stderr.write(f"cellar-vllm: {options.weights}; commit of the published weights: {commit}\n")
    _spread(found, options.gpus)
    if options.copies > 1 and found.experts:
        raise Unusable(
            f"{found.name} is a mixture of experts: vLLM would divide its experts among the copies, which then work in "
            "step and end together. Serve each card by itself, with vllm-router in front (docs/models.md)."
        )
    if options.preset:
        wanted = presets.find(options.preset).role(options.role)
        differences = wanted.differences(found)
        if differences:
            raise Unusable(
                f"{options.weights} does not hold {wanted.model}, which preset {options.preset} is made for. "
                f"{'; '.join(differences)}. Without --preset, what is there is served (add --gpu)."
            )
        return _by_preset(options, wanted, found, options.weights)
    if options.role != "completion" and not found.chat and not _talks(options):
        raise Unusable(
            f"{found.name} has no chat template: a base model completes text and answers no questions. Take the "
            "weights with Instruct in their name. To complete code only: --role completion; with a template of your "
            "own: -- --chat-template=FILE."
        )
    if not options.gpu:
        raise Unusable("Say which preset is wanted (--preset), or how much memory the card has (--gpu 24).")
    share = options.share or SHARE
    room = _room(options, found, options.gpu, share)
    context = options.context or min(found.context, int(SPARE * room.tokens)) // KEEPS * KEEPS
    _fits(found, room, context, options.gpu)
    return command.Server(
        **_common(options, found, options.weights),
        context=context,
        sequences=_sequences(room),
        share=share,
        tools=options.tools or "",
    )


def _by_preset(options: argparse.Namespace, wanted: presets.Serve, found: Weights, weights: Path) -> command.Server:
    share, context = options.share or wanted.share, options.context or wanted.context
    gpu = options.gpu or presets.find(options.preset).gpu_gib * GIB
    _fits(found, _room(options, found, gpu, share), context, gpu)
    return command.Server(
        **_common(options, found, weights),
        context=context,
        sequences=wanted.sequences,
        share=share,
        tools=options.tools or wanted.tools,
        reasoning=wanted.reasoning,
    )


def _common(options: argparse.Namespace, found: Weights, weights: Path) -> dict[str, Any]:
    return {
        "weights": weights,
        "name": options.name or found.name,
        "host": options.host,
        "port": options.port,
        "gpus": options.gpus,
        "copies": options.copies,
        "kv": int(options.kv),
        "more": options.options,
    }


def _room(options: argparse.Namespace, found: Weights, gpu: float, share: float) -> Fit:
    return fit(found, gpu, gpus=options.gpus, share=share, kv_number=int(options.kv) // 8)


def _fits(found: Weights, room: Fit, context: int, gpu: float) -> None:
    if context > found.context:
        raise Unusable(f"{found.name} was made for {found.context} tokens at most, and --context says {context}.")
    if room.tokens < KEEPS or context > room.context:
        raise Unusable(
            f"{found.name} does not fit on {gpu / GIB:g} GiB with a context of {context or KEEPS} tokens: "
            f"there is room for {room.tokens}. `cellar-vllm fit` shows the arithmetic."
        )


def _talks(options: argparse.Namespace) -> bool:
    """Whether options for vLLM itself stand for a chat template that the weights do not have."""
    return _brings(options, "--chat-template") or _brings(options, "--tokenizer-mode")


def _brings(options: argparse.Namespace, name: str) -> bool:
    """Whether an option is among those for vLLM itself."""
    return any(each.split("=", 1)[0].replace("_", "-") == name for each in options.options)


def _spread(weights: Weights, gpus: int) -> None:
    if why := spread(weights, gpus):
        raise Unusable(why)


def _sequences(room: Fit) -> int:
    """As many as fit at 2,048 tokens each, within what helps: past 128 a card only gets slower for everybody."""
    return min(128, max(1, room.requests(2048)))


def _asked(options: argparse.Namespace) -> tuple[Weights, float, int]:
    """Weights, share, and the context that a preset wants (else 4,096)."""
    if options.model in presets.load():
        wanted = presets.find(options.model).role(options.role)
        return wanted.weights, options.share or wanted.share, wanted.context
    if Path(options.model).exists():
        return read(Path(options.model)), options.share or SHARE, 4096
    raise Unusable(f"{options.model} is neither a preset ({', '.join(presets.load())}) nor a folder of weights.")


def _gibs(size: float) -> str:
    return f"{size / GIB:>6.1f} GiB"


def _gib(text: str) -> float:
    """Bytes. A number that is printed on boxes is taken for what the driver reports of the smallest such card."""
    words = text.lower().replace(" ", "")
    unit = GIB / 1024 if words.endswith("mib") else GIB
    try:
        value = float(words.removesuffix("mib").removesuffix("gib").removesuffix("gb"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no card's memory, such as 24 or 23034MiB") from None
    if not 1 * GIB <= value * unit <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is no card's memory")
    return (presets.cards().get(value, value) if unit == GIB else value) * unit


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _context(text: str) -> int:
    if _count(text) < KEEPS:
        raise argparse.ArgumentTypeError(f"{text} tokens are of no use to anybody: {KEEPS} at least")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 0.92")
    return value


COMMANDS = {"presets": lambda _: show_presets(), "fit": show_fit, "serve": serve}


def run(arguments: Sequence[str]) -> int:
    """Exit status."""
    options = parser().parse_args(arguments)
    try:
        status = COMMANDS[options.command](options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads (`| head`) has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Unusable, BadWeights, presets.BadPreset) as error:
        sys.stderr.write(f"cellar-vllm: {error}\n")
        return 2


def main() -> None:
    sys.exit(run(sys.argv[1:]))
