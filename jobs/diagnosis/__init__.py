"""`doctor`: what this machine has that a run needs, and what does not fit. Looks only, and starts nothing."""
