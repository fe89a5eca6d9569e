"""A real Prometheus that scrapes what a test counts."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx

from tests.ports import free_port

PROGRAM = shutil.which("prometheus")
SCRAPE_SECONDS = 0.2


class PrometheusServer:
    """One server over a folder of its own; it may be stopped, started again and paused."""

    def __init__(self, folder: Path, *, targets: list[str], web_config: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        listed = ", ".join(f'"{target}"' for target in targets)
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {int(SCRAPE_SECONDS * 1000)}ms, scrape_timeout: {int(SCRAPE_SECONDS * 1000)}ms}}\n"
            f"scrape_configs:\n  - job_name: test\n    static_configs: [{{targets: [{listed}]}}]\n"
        )
        (folder / "web.yml").write_text(web_config)

    def start(self) -> None:
        """Returns when it answers queries."""
        assert PROGRAM, "the Debian package prometheus is needed: make install-dev"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM,
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--web.config.file={self.folder / 'web.yml'}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                # With a password it answers 401: it is ready all the same.
                if httpx.get(f"{self.url}/-/ready", trust_env=False).status_code in (200, 401):
                    return
            except httpx.HTTPError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        raise AssertionError("Prometheus was not ready within 30 s: " + (self.folder / "log").read_text())

    def pause(self) -> None:
        """It accepts connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After a pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """And waits for its end."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(20)
        self._process = None
