"""Notebook Intelligence 6.2.0 in the same harness (Chromium, fake model server), measured once in November 2026."""

NBI = {
    "enter": "NBI 6.2: 41 ms, no notebook",
    "first question": "NBI 6.2: 833 ms",
    "first chunk": "NBI 6.2: 7 ms",
    "last chunk": "NBI 6.2: 12 to 24 ms",
    "full speed": "NBI 6.2: 1,410 ms",
    "markdown last": "NBI 6.2: 276 ms",
    "markdown long": "NBI 6.2: 5,500 ms",
    "markdown busy": "NBI 6.2: 15.8 s",
    "cpu": "NBI 6.2: 0.64 ms",
    "bytes": "NBI 6.2: 239",
    "wait": "NBI 6.2: 12 ms",
    "stop streaming": "NBI 6.2: 39 ms",
    "stop pre-filling": "NBI 6.2: 11,975 ms",
    "start": "NBI 6.2: +450 ms",
    "memory": "NBI 6.2: +230 MB",
    "scripts": "NBI 6.2: 4,800 kB",
    "packages": "NBI 6.2: 57",
}
