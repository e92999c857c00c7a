"""Why a vLLM ended, in plain words, from what it wrote to its log. Pure: lines in, a sentence and an exit status out.

vLLM ends with hundreds of lines of traceback, of which the last says "Engine core initialization failed. See root cause
above", and with status 1, whether the model does not fit or the card was busy for a moment; with 0 when its engine died
while serving. The words are those of vLLM 0.32 and 0.33, and of what it is built on.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

STOPPED, AGAIN, NEVER = 0, 1, 2
"""Exit statuses: it was told to stop; a new start may help; without a change it would fail again."""

_SERVES = "Application startup complete."
# How a line begins that tells of no end: "(EngineCore pid=1) WARNING 11-29 15:02:33 [...]", "INFO:     ...".
_NO_END = re.compile(r"(?:\([^)]*\) )?(?:DEBUG|INFO|WARNING)\b")


@dataclass(frozen=True)
class Cause:
    pattern: str
    words: str  # with the pattern's groups
    status: int = NEVER


# The first line that fits is the root: whatever follows is its consequence.
CAUSES = (
    Cause(
        r"To serve at least one request with the model's max seq len \((\d+)\).*maximum model length is (\d+)",
        "A context of {0} tokens does not fit beside the weights; {1} would: --context {1}, or a larger card.",
    ),
    Cause(
        r"To serve at least one request with the model's max seq len \((\d+)\)",
        "A context of {0} tokens does not fit beside the weights: a smaller --context, or a larger card.",
    ),
    Cause(
        r"No available memory for the cache blocks",
        "The weights leave no room for questions: a smaller model or quantisation, or a larger card.",
    ),
    Cause(
        r"User-specified max_model_len \((\d+)\) is greater than the derived max_model_len \(\w+=(\d+)",
        "The model reads {1} tokens at most, and --context says {0}.",
    ),
    Cause(
        r"Free memory on device .*\(([\d.]+)/([\d.]+) GiB\) on startup is less than desired",
        "Something else holds memory of the card: {0} of {1} GiB are free. `nvidia-smi` names it.",
        AGAIN,
    ),
    Cause(
        r"Available memory on node \d+ \(([\d.]+)/([\d.]+) GiB\) on kv cache allocation is less than requested",
        "Something else holds memory of this machine: {0} of {1} GiB are free.",
        AGAIN,
    ),
    Cause(
        r"OutOfMemoryError|CUDA(?: error:)? out of memory",
        "The card's memory ran out: a smaller --context or --share, and nothing else on the card (`nvidia-smi`).",
        AGAIN,
    ),
    Cause(r"SafetensorError: ", "A file of the weights is damaged: copy it again and compare the sums."),
    Cause(
        r"PermissionError: \[Errno 13\] Permission denied: '([^']*)'", "{0} may not be read or written by this user."
    ),
    Cause(r"Address already in use", "Another program listens on this port already.", AGAIN),
    Cause(r"error: unrecognized arguments: (.*)", "vLLM does not know an option behind the --: {0}"),
    Cause(r"KeyError: ['\"]invalid (tool call|reasoning) parser: ([\w-]+)", "vLLM has no {0} parser called {1}."),
    Cause(
        r"Model architectures (\[[^\]]*\]) are not supported|model type `?(\S+?)`? but Transformers does not recognize",
        "This vLLM cannot serve such a model ({0}): another model, or a newer vLLM.",
    ),
    Cause(
        r"contains custom code which must be executed|requires you to execute",
        "The model brings code of its own, which is not run: another model.",
    ),
    Cause(
        r"Bfloat16 is only supported on GPUs with compute capability",
        "The card is too old for bf16: `-- --dtype=half`, or a card from Ampere on.",
    ),
    Cause(
        r"No module named '?(vllm\b[\w.]*)",
        "This Python has no whole vLLM ({0}): the environment that docs/models.md installs.",
    ),
    Cause(
        r"NVIDIA driver on your system is too old|CUDA driver version is insufficient",
        "The card's driver is too old for this vLLM: a newer driver, or the vLLM that was built for it.",
    ),
    Cause(
        r"Failed to find C compiler",
        "No C compiler is found, which vLLM needs when it starts: install gcc (in a container: an image with it).",
    ),
    Cause(
        r"Could not find nvcc|nvcc['\"]?:? (?:command )?not found|CUDA_HOME environment variable",
        "Something has to be compiled for the card and there is no nvcc: install the CUDA toolkit that this vLLM was "
        "built with, and set CUDA_HOME.",
    ),
    Cause(r"No space left on device", "A disk is full, or /dev/shm: `df -h` names it."),
    Cause(
        r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver",
        "No GPU is found: `nvidia-smi` must show it, in the container, too.",
        AGAIN,
    ),
)
_KNOWN = [(re.compile(each.pattern), each) for each in CAUSES]


class Ending:
    """What the log has said so far. `served`: it answered requests."""

    def __init__(self) -> None:
        self.served = False
        self._words = ""
        self._status = AGAIN

    def read(self, line: str) -> None:
        if _SERVES in line:
            self.served, self._words, self._status = True, "", AGAIN
        if self._words or _NO_END.match(line):
            return
        for pattern, cause in _KNOWN:
            found = pattern.search(line)
            if found is not None:
                groups = [each for each in found.groups() if each]
                self._words, self._status = cause.words.format(*groups), cause.status
                return

    def told(self, status: int) -> tuple[str, int]:
        """(last words, exit status) of a vLLM that ended by itself with `status`, negative for a signal."""
        words = self._words or self._unknown(status)
        if self.served:
            return f"vLLM has stopped serving, and was not told to. {words} It has to be started again.", AGAIN
        ours = NEVER if status == NEVER else self._status
        helps = "A new start may help." if ours == AGAIN else "A new start does not help before that is changed."
        return f"vLLM has ended before it served. {words} {helps}", ours

    def _unknown(self, status: int) -> str:
        if status == -signal.SIGKILL:
            return "It was killed: by the system, if this machine's memory ran out, or by somebody."
        if self.served:
            return "Its engine died: the first ERROR above says of what."
        return "The first ERROR above says why."
