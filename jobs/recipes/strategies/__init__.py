"""The strategies that a recipe can name: one row each in `registry`, with its options."""
