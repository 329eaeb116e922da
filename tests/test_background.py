"""Tests also pass where SIGINT is ignored, as in what a shell starts in the background (`nohup make test &`)."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

TEST = """
import signal, subprocess, sys

def test_children_can_be_interrupted():
    child = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"], stdout=-1)
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    assert child.wait(10) == -signal.SIGINT
"""


def test_a_child_of_a_test_can_be_interrupted_where_sigint_is_ignored(tmp_path: Path) -> None:
    """Run a test with this conftest in a process that ignores SIGINT."""
    (tmp_path / "test_child.py").write_text(TEST)
    conftest = Path(__file__).parent / "conftest.py"
    code = (
        "import signal, sys, pytest; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '--confcutdir', {str(conftest.parent)!r}, "
        f"'-c', '/dev/null', '--rootdir', {str(tmp_path)!r}, '-p', 'conftest', {str(tmp_path / 'test_child.py')!r}]))"
    )
    environment = {"PYTHONPATH": f"{conftest.parent}:{':'.join(sys.path)}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
