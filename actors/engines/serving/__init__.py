"""vLLM as generator and as PRM, and what keeps its processes from outliving their owner."""
