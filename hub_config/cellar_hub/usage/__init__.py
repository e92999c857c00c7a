"""Tokens spent and reserved, by user, day and model; quotas."""
