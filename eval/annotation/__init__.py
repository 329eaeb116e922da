"""The annotation task: how well does a system name lists of words?"""

from conceptbench.eval.annotation.run import evaluate_annotation

__all__ = ["evaluate_annotation"]
