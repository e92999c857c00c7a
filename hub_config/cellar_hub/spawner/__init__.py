"""A container, a network and a volume for each user."""
