"""Serving models with vLLM: which model for which GPU, what fits, and the exact command.

Standard library alone, so that it runs in vLLM's own environment.
"""
