"""Everything installed on the hub's side: the gateway to the model servers, the workspaces' spawner, the Docker socket's
filter, and the command line. It keeps metadata and keyed hashes, never a prompt."""
