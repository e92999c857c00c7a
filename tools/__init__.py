"""What the Makefile calls: set-up, the demo, the lab extension's build. Runs before anything is installed."""
