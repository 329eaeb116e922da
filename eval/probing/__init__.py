"""Probes: how well a layer's vectors tell each concept from others."""

from conceptbench.eval.methods.probes.probes import ConceptProbe, probe

__all__ = ["ConceptProbe", "probe"]
