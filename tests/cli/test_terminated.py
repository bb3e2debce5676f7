from __future__ import annotations

import signal
import subprocess
import sys


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
