from __future__ import annotations

import signal
import subprocess
import sys

import pytest


def test_a_terminated_command_closes_what_it_opened_and_exits_with_143() -> None:
    program = (
        "import sys, time, rag.cli\n"
        "def run():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    finally:\n"
        "        print('closed', flush=True)\n"
        "rag.cli.app = run\n"
        "rag.cli.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "closed\n"
        assert process.wait(10) == 143


def test_ctrl_c_while_the_command_is_loaded_exits_with_130_and_no_traceback() -> None:
    program = (
        "import signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'rag.cli':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from rag.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        ("PermissionError(13, 'Permission denied', 'a/b.yaml')", "error: a/b.yaml: Permission denied\n"),
        ("OSError(errno.ENOSPC, 'No space left on device')", "error: No space left on device\n"),
    ],
)
def test_what_the_operating_system_refuses_is_a_message(raised: str, message: str) -> None:
    program = f"import errno, rag.cli\ndef run():\n    raise {raised}\nrag.cli.app = run\nrag.cli.main()\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (1, message)


def test_ctrl_c_that_a_library_turns_into_an_error_of_its_own_exits_with_130_and_no_traceback() -> None:
    program = (
        "import signal, rag.cli\n"
        "def run():\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        raise ImportError('initialization failed') from None\n"
        "rag.cli.app = run\n"
        "rag.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (130, "")
