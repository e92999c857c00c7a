"""The one process that holds the Docker socket, and what it lets through."""
