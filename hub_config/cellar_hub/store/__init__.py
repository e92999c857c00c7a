"""The database of the hub side: tables, their migrations, and one writer with group commit."""
