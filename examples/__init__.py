"""Examples that run without a GPU and without a download."""
