from __future__ import annotations

import subprocess
import sys


def test_without_langchain_the_command_that_installs_it_is_named() -> None:
    program = (
        "import sys\n"
        "sys.modules['langchain_core'] = None\n"
        "from rag import RagError\n"
        "try:\n"
        "    import rag.integrations.langchain\n"
        "except RagError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == (
        "rag.integrations.langchain needs the package 'langchain_core'\n  hint: pip install \"ragloom[langchain]\"\n"
    )
