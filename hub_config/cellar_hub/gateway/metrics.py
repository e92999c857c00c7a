"""What Prometheus sees. Labels are bounded: models come from the table, users never stand here."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """One registry per process, so that tests may run several gateways."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        on = self.registry
        self.requests = Counter("cellar_requests", "Requests that ended", ["model", "kind", "outcome"], registry=on)
        self.refusals = Counter("cellar_refusals", "Requests refused by the gateway", ["code"], registry=on)
        self.tokens = Counter("cellar_tokens", "Tokens of ended requests", ["model", "type"], registry=on)
        self.queue_seconds = Histogram(
            "cellar_queue_seconds", "Wait in the fair queue", ["model"], buckets=SECONDS, registry=on
        )
        self.first_seconds = Histogram(
            "cellar_first_token_seconds",
            "From the request's arrival to its first token",
            ["model"],
            buckets=SECONDS,
            registry=on,
        )
        self.running = Gauge("cellar_running", "Requests at a model server", ["server"], registry=on)
        self.waiting = Gauge("cellar_waiting", "Requests in a model server's queue", ["server"], registry=on)
        self.server_up = Gauge("cellar_model_server_up", "1: healthy", ["server"], registry=on)
        self.server = Gauge("cellar_model_server", "What vLLM itself says", ["server", "value"], registry=on)
        self.hub_up = Gauge("cellar_hub_up", "1: the hub answered last time", registry=on)
        self.database_up = Gauge("cellar_database_up", "1: the last commit succeeded", registry=on)
        self.unsettled = Gauge("cellar_unsettled", "Ended requests whose last record is not yet written", registry=on)
        self.policy_ok = Gauge("cellar_policy_ok", "0: the policy file changed and cannot be read", registry=on)

    def text(self) -> bytes:
        return generate_latest(self.registry)
