# SPDX-License-Identifier: Apache-2.0
"""A service whose receiver's name is not looked up by anybody: lookup.py HOST SECONDS. In a network of its own, where the
only name server takes questions and does not answer.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

TIMEOUT_MS, SHUTDOWN_MS, LATE_MS = 500, 1500, 250
# Its own, the profiler's, the exporter's two, and look-ups: as many as may be left behind, and the one of the present.
THREADS_MAX = 1 + 1 + 2 + 4 + 1


def count_questions(name_server, questions):
    while True:
        questions.append(name_server.recv(2000))


def findings(seen, questions):
    if seen["init"]:
        yield "it does not start"
    if len(questions) < 2 or seen["retries"] < 2:
        yield f"the name was not looked up again: {len(questions)} questions"
    if seen["exported"]:
        yield "something arrived, where nothing can"
    if seen["writes"]:
        yield f"{seen['writes']} writes to standard descriptors that are closed did not fail as they must"
    if seen["sockets"] or seen["inherited"]:
        yield "sockets of the exporter are among the host's descriptors"
    if seen["threads"] > THREADS_MAX:
        yield f"{seen['threads']} threads"
    if seen["shutdown_ms"] > SHUTDOWN_MS + LATE_MS:
        yield "the shutdown is late"
    if seen["fork_ms"] > 100 + LATE_MS:
        yield "a fork waited"


def main(host, seconds):
    name_server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    name_server.bind(("127.0.0.1", 53))
    questions = []
    threading.Thread(target=count_questions, args=(name_server, questions), daemon=True).start()
    environment = dict(
        os.environ,
        OTELPROF_WINDOW_MS="300",
        OTEL_EXPORTER_OTLP_TIMEOUT=str(TIMEOUT_MS),
        OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.example:4317",
    )
    done = subprocess.run([host, "seen.json", seconds], env=environment, timeout=60, check=False)
    text = pathlib.Path("seen.json").read_text(encoding="utf-8")
    print(f"status {done.returncode}, {len(questions)} questions: {text}", end="")
    found = list(findings(json.loads(text), questions)) if not done.returncode else [f"ended with {done.returncode}"]
    for finding in found:
        print(f"FAILED: {finding}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
