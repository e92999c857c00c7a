"""Who asked what model when, and at what cost; never what was asked. Append-only, chained, verifiable."""
