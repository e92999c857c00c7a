"""The connected side: from offline.toml to a bundle. Python >= 3.11 and Docker; not part of the zipapp."""
