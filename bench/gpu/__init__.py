"""What vLLM does on a GPU with a preset's model, its weights made here: `python -m bench.gpu --preset 24gb`."""
