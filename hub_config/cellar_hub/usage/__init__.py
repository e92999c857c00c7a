"""Tokens spent and reserved, by user, day and model; quotas."""

from cellar_hub.usage.quota import Quota, QuotaExceeded, Usage

__all__ = ["Quota", "QuotaExceeded", "Usage"]
