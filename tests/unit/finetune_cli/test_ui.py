"""Where the page is, for a person and for a program that shows it."""

import json
import subprocess
import sys

import pytest


@pytest.mark.usefixtures("kubeconfig")
def test_a_program_is_told_where_the_page_is() -> None:
    command = [sys.executable, "-m", "finetune_cli", "ui", "--no-browser", "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as page:
        try:
            assert page.stdout is not None
            told = json.loads("".join(page.stdout.readline() for _ in range(3)))
        finally:
            page.terminate()

    assert told["url"].startswith("http://127.0.0.1:")
    assert "/?token=" in told["url"]
