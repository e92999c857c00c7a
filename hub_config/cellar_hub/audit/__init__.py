"""Who asked what model when, at what cost and with what outcome; never what was asked. Append-only, chained, verifiable."""
