# SPDX-License-Identifier: Apache-2.0
"""Processes of benches."""

import subprocess


def stop(process):
    """Ends it, by force after 15 s, and waits for its end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
