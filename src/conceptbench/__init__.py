"""ConceptBench: latent concepts of language models, and the systems that explain them.

Everything the command line does is a function here. Names are imported when they are first used, so that
`import conceptbench` loads neither torch nor datasets.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conceptbench.benchmark.loading import load_concepts
    from conceptbench.benchmark.store import ConceptStore
    from conceptbench.builders.build import build
    from conceptbench.builders.clustering import MergeTree, ward_tree
    from conceptbench.builders.presets import build_preset
    from conceptbench.builders.publish import Publication, publish
    from conceptbench.builders.referred import restore_sentences
    from conceptbench.builders.report import write_report
    from conceptbench.builders.tcn import import_tcn
    from conceptbench.demo import demo
    from conceptbench.eval.compare import compare_results as compare
    from conceptbench.eval.methods.explain import Explanation, explain
    from conceptbench.eval.methods.neurons.ranking import rank_neurons
    from conceptbench.eval.methods.probes.probes import ConceptProbe, probe
    from conceptbench.eval.report.write import report
    from conceptbench.eval.result import Result
    from conceptbench.eval.run import evaluate
    from conceptbench.eval.stats.agreement import Agreement, agreement
    from conceptbench.runtime.errors import ConceptBenchError, InputError

_HOMES = {
    "Agreement": "conceptbench.eval.stats.agreement",
    "ConceptBenchError": "conceptbench.runtime.errors",
    "ConceptProbe": "conceptbench.eval.methods.probes.probes",
    "ConceptStore": "conceptbench.benchmark.store",
    "Explanation": "conceptbench.eval.methods.explain",
    "InputError": "conceptbench.runtime.errors",
    "MergeTree": "conceptbench.builders.clustering",
    "Publication": "conceptbench.builders.publish",
    "Result": "conceptbench.eval.result",
    "agreement": "conceptbench.eval.stats.agreement",
    "build": "conceptbench.builders.build",
    "build_preset": "conceptbench.builders.presets",
    "compare": "conceptbench.eval.compare:compare_results",
    "demo": "conceptbench.demo",
    "evaluate": "conceptbench.eval.run",
    "explain": "conceptbench.eval.methods.explain",
    "import_tcn": "conceptbench.builders.tcn",
    "load_concepts": "conceptbench.benchmark.loading",
    "probe": "conceptbench.eval.methods.probes.probes",
    "publish": "conceptbench.builders.publish",
    "rank_neurons": "conceptbench.eval.methods.neurons.ranking",
    "report": "conceptbench.eval.report.write",
    "restore_sentences": "conceptbench.builders.referred",
    "ward_tree": "conceptbench.builders.clustering",
    "write_report": "conceptbench.builders.report",
}

__all__ = [
    "Agreement",
    "ConceptBenchError",
    "ConceptProbe",
    "ConceptStore",
    "Explanation",
    "InputError",
    "MergeTree",
    "Publication",
    "Result",
    "agreement",
    "build",
    "build_preset",
    "compare",
    "demo",
    "evaluate",
    "explain",
    "import_tcn",
    "load_concepts",
    "probe",
    "publish",
    "rank_neurons",
    "report",
    "restore_sentences",
    "ward_tree",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("conceptbench")
    if name not in _HOMES:
        raise AttributeError(f"module 'conceptbench' has no attribute {name!r}")
    home, _, other_name = _HOMES[name].partition(":")
    value = getattr(import_module(home), other_name or name)
    # Else the submodule of the same name, set here by its own import, would hide the function.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
