"""Everything installed on the hub's side. It keeps metadata and keyed hashes, never a prompt."""
