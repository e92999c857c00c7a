"""Real servers that stand in for what a test machine does not have. `python -m tests.fakes.vllm` runs one by hand."""
