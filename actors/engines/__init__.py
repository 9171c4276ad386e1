"""The only place that imports vLLM and torch, and only inside the function that builds an engine."""
