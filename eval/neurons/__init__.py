"""The neurons task: which neurons carry a concept, do wider concepts share them, and does the probe need them?"""

from conceptbench.eval.neurons.collect import evaluate_neurons

__all__ = ["evaluate_neurons"]
