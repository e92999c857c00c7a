"""`python -m cellar_vllm`, where the program `cellar-vllm` is not installed."""

from cellar_vllm.program import main

main()
