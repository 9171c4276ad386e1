"""`parsimony submit`: what travels to a cluster for a Ray job, checked before anything is sent."""
