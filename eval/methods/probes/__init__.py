"""Linear probes of concepts, with splits by word type, control labels and intervals."""

from conceptbench.eval.methods.probes.probes import ConceptProbe, probe

__all__ = ["ConceptProbe", "probe"]
