"""The annotation task: how well does a system name concepts?"""

from conceptbench.eval.annotation.collect import evaluate_annotation

__all__ = ["evaluate_annotation"]
