"""The embedded default: a small arithmetic generator, its process reward model and problem files."""
