"""Scoring: agreement, judges, probes, neurons, explanations, prototypes."""
