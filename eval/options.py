"""Options of tasks: see `runtime.options`."""

from conceptbench.runtime.options import *  # noqa: F403
