"""The one way to the model servers: OpenAI's API behind the hub's tokens."""
