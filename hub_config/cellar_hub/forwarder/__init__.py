"""Carries connections from workspaces to the destinations that the policy file gives their users, and nowhere else."""
