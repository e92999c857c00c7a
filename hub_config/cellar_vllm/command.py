"""The exact command and environment of a vLLM server: quiet, offline, bounded, fair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# vLLM asks nobody, tells nobody and loads nothing: no hub of models, no usage statistics, no plugins, no pictures by
# address; its developers' doors are shut, whatever the environment says. A kept connection outlives the gateway's
# (30 s), so that no request meets a closing one. `n` answers to one question are few.
ENVIRONMENT: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_PLUGINS": "",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    "VLLM_USE_MODELSCOPE": "False",
    "VLLM_SERVER_DEV_MODE": "0",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "0",
    "VLLM_DEBUG_LOG_API_SERVER_RESPONSE": "False",
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75",
    "VLLM_MAX_N_SEQUENCES": "4",
}

# What would write prompts down, call out or open doors, wherever somebody adds options of their own.
_CODE = "it runs code that is not vLLM's"
_TELLS = "it tells another program of requests"
REFUSED = {
    "--enable-log-requests": "it writes prompts to the log",
    "--enable-log-outputs": "it writes answers to the log",
    "--profiler-config": "it writes down what is computed",
    "--log-config-file": "it could write prompts to a log",
    "--logging-config": "it could write prompts to a log",
    "--api-key": "everybody on the machine can read a command line; set VLLM_API_KEY",
    "--trust-remote-code": "it runs code that came with the weights",
    "--tool-server": "it lets the model server call out",
    "--trust-request-chat-template": "it lets a request bring a template of its own",
    "--trust-request-mm-kwargs": "it lets a request say how pictures are read",
    "--config": "a file could bring any of the options that are not handed on",
    "--otlp-traces-endpoint": _TELLS,
    "--observability-config": _TELLS,
    "--collect-detailed-traces": _TELLS,
    "--enable-trace-replay": _TELLS,
    "--kv-events-config": _TELLS,
    "--kv-transfer-config": _TELLS,
    "--ec-transfer-config": _TELLS,
    "--weight-transfer-config": "it lets others change the weights",
    "--middleware": _CODE,
    "--tool-parser-plugin": _CODE,
    "--reasoning-parser-plugin": _CODE,
    "--structured-outputs-config": _CODE + ", where it names a plugin; the parser's own option is --reasoning-parser",
    "--logits-processors": _CODE,
    "--io-processor-plugin": _CODE,
    "--scheduler-cls": _CODE,
    "--worker-cls": _CODE,
    "--worker-extension-cls": _CODE,
    "--model-class-overrides": _CODE,
    "--allowed-local-media-path": "it lets a request read files of this machine",
    "--allowed-media-domains": "it lets a request make the model server call out",
    "--host": "say it before the --",
    "--port": "say it before the --",
    "--served-model-name": "say --name before the --",
}


class BadOption(ValueError):
    """An option that is not handed on; the message is for a person."""


@dataclass(frozen=True)
class Server:
    """How a folder of weights is served."""

    weights: Path
    name: str  # the model's name in requests
    context: int  # tokens
    sequences: int  # at work at once, per copy
    share: float  # of the GPU's memory
    host: str = "127.0.0.1"
    port: int = 8001
    gpus: int = 1  # cards that one copy of the model is spread over
    copies: int = 1
    kv: int = 16  # bits of a number in the cache
    tools: str = ""
    reasoning: str = ""
    more: Sequence[str] = field(default=())  # options for vLLM, as they are

    def options(self) -> list[str]:
        """Everything behind `vllm serve WEIGHTS`. BadOption."""
        options = [
            f"--served-model-name={self.name}",
            f"--host={self.host}",
            f"--port={self.port}",
            f"--max-model-len={self.context}",
            f"--max-num-seqs={self.sequences}",
            # Of all copies together, at work and waiting. The gateway queues; this bounds what comes past it, by a 503
            # that it and vllm-router understand.
            f"--max-num-queued-reqs={4 * self.sequences * self.copies}",
            f"--gpu-memory-utilization={self.share}",
            "--scheduling-policy=priority",
            "--enable-prompt-tokens-details",
            "--enable-request-id-headers",
            "--sse-keep-alive-interval=10",
            "--shutdown-timeout=60",
            "--disable-fastapi-docs",
            "--middleware=cellar_vllm.door.Door",
            "--disable-access-log-for-endpoints=/health,/metrics",
        ]
        if self.kv == 8:
            options.append("--kv-cache-dtype=fp8")
        if self.gpus > 1:
            options.append(f"--tensor-parallel-size={self.gpus}")
        if self.copies > 1:
            options.append(f"--data-parallel-size={self.copies}")
        if self.tools:
            # "parameter": arguments follow the tool's schema even where a client did not say `strict`; without it a
            # small model called a function of two numbers with a string (vLLM 0.32).
            options += [
                "--enable-auto-tool-choice",
                f"--tool-call-parser={self.tools}",
                "--tool-strict-level=parameter",
            ]
        if self.reasoning:
            options.append(f"--reasoning-parser={self.reasoning}")
        for option in self.more:
            name = option.partition("=")[0].partition(".")[0].replace("_", "-")  # --name.field=value is one field of it
            for refused, why in REFUSED.items():
                if len(name) > 2 and name.startswith("--") and refused.startswith(name):  # argparse takes beginnings
                    raise BadOption(f"{name} is not handed on to vLLM: {why}.")
        return [*options, *self.more]
