"""The rows of `conceptbench list`: tasks, studies, modules, prompts, presets and annotators."""

from __future__ import annotations

from collections.abc import Iterator

from conceptbench.eval.task import MetricInfo, Task
from conceptbench.eval.tasks import PACKAGED, task_names, task_of
from conceptbench.runtime.options import OptionField, option_fields


def tasks() -> list[dict[str, str]]:
    """The tasks that `eval` scores, those of other packages too."""
    return [
        {
            "task": name,
            "version": task.version,
            "what is scored": task.summary,
            "main metric": task.ranked_by[0] if task.ranked_by else "",
        }
        for name in task_names()
        for task in [task_of(name)]
    ]


def studies() -> list[dict[str, str]]:
    """The studies of all tasks."""
    return [
        {"task": task, "study": name, "what it compares": study.summary, "needs": study.needs}
        for task in task_names()
        for name, study in task_of(task).studies.items()
    ]


def modules() -> list[dict[str, str]]:
    """The families of text modules: those with known answers, which are drawn by default, and those inside models."""
    from conceptbench.benchmark.modules import FAMILIES, INNER_FAMILIES
    from conceptbench.benchmark.modules.families import Family
    from conceptbench.benchmark.modules.inner_families import InnerFamily

    families: dict[str, Family | InnerFamily] = {**FAMILIES, **INNER_FAMILIES}
    return [
        {
            "family": name,
            "responds to": family.responds_to,
            "answer": family.answer,
            "drawn from": family.drawn_from,
        }
        for name, family in families.items()
    ]


def prompts() -> list[dict[str, str]]:
    """The packaged prompts."""
    from conceptbench.benchmark.prompts import load_prompt, prompt_names

    return [
        {
            "prompt": prompt.name,
            "words": prompt.unit,
            "examples": str(len(prompt.examples)),
            "what it does": prompt.description,
            "sha256": prompt.sha256[:12],
        }
        for prompt in map(load_prompt, prompt_names())
    ]


def presets() -> list[dict[str, str]]:
    """The packaged presets of `build`."""
    from conceptbench.builders.presets import load_preset, preset_names

    return [
        {
            "preset": preset.name,
            "version": preset.version,
            "models": ", ".join(preset.options.model),
            "layers": preset.options.layers,
            "concepts": f"{preset.concepts:,}" if preset.concepts else f"{preset.options.k} a layer",
            "what it is": preset.description,
            "sha256": preset.sha256[:12],
        }
        for preset in map(load_preset, preset_names())
    ]


def annotators() -> list[dict[str, str]]:
    """The kinds of annotators, and whether each can be used here."""
    from conceptbench.runtime.models import weights_installed

    weights = "ready" if weights_installed("smollm2") else "its weights are missing: see `conceptbench doctor`"
    return [
        {"annotator": "lexical", "what it is": "the baseline: a rule on the words' form, no model", "here": "ready"},
        {"annotator": "local:smollm2", "what it is": "SmolLM2-135M-Instruct in process, offline", "here": weights},
        {"annotator": "local:<model>", "what it is": "a causal LM of yours: a folder or a Hub id", "here": "ready"},
        {
            "annotator": "openai:<model>",
            "what it is": "any OpenAI-compatible server, with --base-url",
            "here": "key from OPENAI_API_KEY",
        },
        {
            "annotator": "file:<path>",
            "what it is": "recorded labels: CSV or JSON lines with concept and label",
            "here": "ready",
        },
        {
            "annotator": "python:<module>:<class>",
            "what it is": "your own class with label(words, contexts) -> str",
            "here": "ready",
        },
    ]


def tasks_page() -> str:
    """Write docs/tasks.md: what each task of this package measures, and the options of its command and function."""
    parts = [
        "# Tasks, options and metrics\n",
        "This page is made from the tasks' descriptions: `make docs/tasks.md`. Each option is one of "
        "`conceptbench eval TASK` and of `conceptbench.evaluate(TASK, …)`, where its name is written with "
        "underscores.\n",
    ]
    for name in PACKAGED:
        parts += _task_section(task_of(name))
    return "\n".join(parts)


def _task_section(task: Task) -> Iterator[str]:
    ranked = f"Systems are ranked by `{task.ranked_by[0]}`." if task.ranked_by and not task.unranked else task.unranked
    yield f"## {task.name}\n\nVersion {task.version}: {task.summary}. {ranked}\n"
    yield "| option | values | default | what it does |\n|---|---|---|---|"
    yield from (_option_row(field) for field in option_fields(task.options))
    yield "\n| metric | unit | better | what it means |\n|---|---|---|---|"
    yield from (_metric_row(metric) for metric in task.metrics)
    if task.studies:
        yield "\n| study | what it compares | needs |\n|---|---|---|"
        yield from (f"| `{name}` | {_cell(study.summary)} | {study.needs} |" for name, study in task.studies.items())
    yield ""


def _option_row(field: OptionField) -> str:
    kind = getattr(field.kind, "__name__", "text")
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "flag", "Path": "path", "tuple": "texts"}
    values = ", ".join(map(str, field.choices)) or ", ".join(filter(None, [names.get(kind, kind), field.range]))
    flag = f"`{field.name}` (Python only)" if field.option.hidden else f"`{field.flag}`"
    default = "required" if field.required else field.option.default or _default(field.default)
    return f"| {flag} | {_cell(values)} | {_cell(default)} | {_cell(field.option.help)} |"


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None or value is False else str(value)


def _metric_row(metric: MetricInfo) -> str:
    better = {True: "higher", False: "lower", None: ""}[metric.higher_is_better]
    return f"| `{metric.name}` | {_cell(metric.unit)} | {better} | {_cell(metric.description)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
