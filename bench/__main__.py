"""`python -m bench [section ...]`: measure, print, and (when all sections ran) write bench/RESULTS.md."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser

from bench import footprint, gateway, latency, machine, stage, stopping, streaming
from bench.report import Section
from bench.stage import Lab, Model

RESULTS = Path(__file__).parent / "RESULTS.md"
CAUSES = Path(__file__).parent / "CAUSES.md"
SECTIONS: dict[str, Callable[[Browser, Lab, Model], Section]] = {
    "questions": latency.questions,
    "answers": latency.answers,
    "markdown": streaming.markdown,
    "cost": streaming.cost,
    "stops": stopping.stops,
    "footprint": lambda _browser, _lab, fake: footprint.footprint(fake),
    "gateway": lambda _browser, _lab, _fake: gateway.section(),
}


def main(wanted: list[str]) -> int:
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        print(f"no section {', '.join(unknown)}; there are: {', '.join(SECTIONS)}")
        return 2
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    texts = []
    with stage.browser() as running, stage.model() as fake, stage.lab(fake.url) as server:
        where = machine.description(f"Chromium {running.version}")
        for name in wanted or SECTIONS:
            server.reset()
            text = SECTIONS[name](running, server, fake).text()
            print(text, flush=True)
            texts.append(text)
    if not wanted:
        causes = CAUSES.read_text() if CAUSES.is_file() else ""
        head = (
            "# Results\n\nWritten by `make bench`; medians unless said otherwise. *reach* is what the design asks.\n"
            "The rows of the gateway, of log-in, of vLLM and of inline completion come with those parts.\n\n"
            f"- when: {began}\n- commit: {machine.commit()}\n- machine: {where}\n"
        )
        RESULTS.write_text("\n".join([head, *texts, causes]).rstrip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
