"""The quality task: do the discovered concepts of a store agree with those of the gold lexicon?"""

from conceptbench.eval.quality.collect import evaluate_quality

__all__ = ["evaluate_quality"]
