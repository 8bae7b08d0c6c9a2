"""The encoder: transformer layers on packed tokens, which know nothing of tasks."""
