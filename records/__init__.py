"""The nouns: problem, step, path, request, outcome, failure, tables, manifest. Standard library and pyarrow only."""
