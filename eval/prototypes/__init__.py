"""The prototypes task: a classifier that explains itself by prototypes, and whether its explanations are true."""

from conceptbench.eval.prototypes.collect import evaluate_prototypes

__all__ = ["evaluate_prototypes"]
