# SPDX-License-Identifier: Apache-2.0
"""Services that end while they are in a TLS handshake or a request: the exit status is theirs, and nothing is said.
exit_delivery.py HOST CERTIFICATES RUNS
"""

import os
import pathlib
import random
import subprocess
import sys

from failing_server import FailingServer

STATUS = {"return": 7, "thread": 8, "quick_exit": 9}


def main(host, certificates, runs):
    certificates = pathlib.Path(certificates).resolve()
    source = random.Random(1)
    failures = 0
    for mode, name in (("ok", "server"), ("late", "server"), ("wrong-certificate", "wrong")):
        server = FailingServer(mode, "grpc", certificate=certificates / f"{name}.crt", key=certificates / f"{name}.key")
        environment = dict(os.environ, OTELPROF_WINDOW_MS="100", OTELPROF_RATE="499",
                           OTEL_EXPORTER_OTLP_CERTIFICATE=str(certificates / "ca.crt"),
                           OTEL_EXPORTER_OTLP_ENDPOINT=server.url(), OTEL_EXPORTER_OTLP_PROTOCOL="grpc")  # fmt: skip
        for run in range(int(runs)):
            how = list(STATUS)[run % len(STATUS)]
            # Around the end of the first windows, where requests begin.
            command = [host, str(source.randrange(90, 260)), how]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
            if done.returncode != STATUS[how] or done.stdout or done.stderr:
                print(f"FAILED: {mode}, {command[1:]}: status {done.returncode} {done.stderr[-300:]}")
                failures += 1
        print(f"{mode}: {runs} ends, {server.requests.connections} connections, {len(server.requests.all())} requests")
        server.stop()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
