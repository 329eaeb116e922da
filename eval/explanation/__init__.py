"""The explanation task: how well does an explainer say what a text module responds to?"""

from conceptbench.eval.explanation.collect import evaluate_explanation

__all__ = ["evaluate_explanation"]
