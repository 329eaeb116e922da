"""Text modules with known answers: the benchmark that explainers are scored on."""

from conceptbench.benchmark.modules.answers import Answer, Part, judge_explanation
from conceptbench.benchmark.modules.families import FAMILIES, NOISE_LEVELS, draw_modules
from conceptbench.benchmark.modules.files import read_modules
from conceptbench.benchmark.modules.inner_families import INNER_FAMILIES, Inside, draw_inner_modules
from conceptbench.benchmark.modules.known import KnownModule, checked, is_constant
from conceptbench.benchmark.modules.responses import EmbeddingModule, Encoder, NoisyModule, TextModule

__all__ = [
    "FAMILIES",
    "INNER_FAMILIES",
    "NOISE_LEVELS",
    "Answer",
    "EmbeddingModule",
    "Encoder",
    "Inside",
    "KnownModule",
    "NoisyModule",
    "Part",
    "TextModule",
    "checked",
    "draw_inner_modules",
    "draw_modules",
    "is_constant",
    "judge_explanation",
    "read_modules",
]
