"""What can be found wrong with the hub's settings before anything is started: one mistake, named, instead of workspaces
that fail one by one."""

from __future__ import annotations

import logging

from cellar_hub.backup.staging import check_whole
from cellar_hub.destinations import check_targets, share_out
from cellar_hub.login.ways import check_login
from cellar_hub.policyfile import PolicyFile
from cellar_hub.settings import HubSettings
from cellar_hub.spawner.profiles import check_bounds, profiles_of
from cellar_hub.store.engine import parse_url

log = logging.getLogger("cellar.configure")


def check_settings(settings: HubSettings) -> None:
    """Raises SettingsError for a wrong profile or policy file, for what the socket filter would refuse at each start,
    for what a kind of log-in lacks, for a database's address that is none, and in the midst of a restore."""
    check_whole(settings.data)
    parse_url(settings.database_url, "CELLAR_HUB_DATABASE_URL")
    profiles = profiles_of(settings)
    check_bounds(profiles, settings)
    check_login(settings)
    check_destinations(settings)
    check_names(settings, {each.name for each in profiles})


def check_destinations(settings: HubSettings) -> None:
    """Says which destinations a group names that no forwarder can serve. Raises SettingsError."""
    policy = PolicyFile(settings.policy).current()
    check_targets(policy.destinations, settings.pool, f"CELLAR_POLICY ({settings.policy})")
    everybody = [("", "", "everybody")]
    groups = [("", group, f"members of {group}") for group in policy.groups]
    for user, group, whom in [*everybody, *groups, *((user, "", user) for user in policy.users)]:
        _, without = share_out(policy.for_(user, (group,)).destinations, settings.forwarders)
        if without:
            log.warning(
                "%s cannot reach %s: it takes more forwarders than %d (docs/workspaces.md)",
                *(whom, ", ".join(each.key for each in without), settings.forwarders),
            )


def check_names(settings: HubSettings, profiles: set[str]) -> None:
    """Says which profiles the policy gives to somebody that are nowhere described."""
    unknown = PolicyFile(settings.policy).current().profiles - profiles
    if unknown:
        log.warning("the policy names profiles that CELLAR_PROFILES does not have: %s", ", ".join(sorted(unknown)))
