"""The command line `cellar-hub`."""
