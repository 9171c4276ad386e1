"""vLLM as generator and as PRM, in a thread of the process that asks."""
