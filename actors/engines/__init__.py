"""The model engines behind the replicas. vLLM, torch and transformers are imported only where an engine is built."""
