"""The embedded example of a reasoning model: it thinks between `<think>` and `</think>`, then answers."""
