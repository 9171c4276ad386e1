"""One strategy a module; each reads like the paper that it comes from."""
