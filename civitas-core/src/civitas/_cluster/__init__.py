"""Cluster: how nodes find each other, watch each other, and call each other."""
