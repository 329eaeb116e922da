"""The explanation task: how well does an explainer say what a text module responds to?"""

from conceptbench.eval.explanation.run import evaluate_explanation

__all__ = ["evaluate_explanation"]
