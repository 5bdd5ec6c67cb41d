"""The web process: gunicorn with threads, so that open event streams cost little."""

from typing import Any

from gunicorn.app.base import BaseApplication

from webapp import courier, log
from webapp.app import create_app
from webapp.config import settings


class WebServer(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn configured by our settings alone, not by the command line."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        for key, value in self.options.items():
            self.cfg.set(key, value)

    def load(self) -> Any:
        """The app of one process; gunicorn calls this after the fork, where threads may begin."""
        app = create_app()
        courier.of(app.extensions["dbhost"]).start()
        return app


def options(host: str, port: int) -> dict[str, Any]:
    """gunicorn's options. Each thread may hold a waiting API call or an event stream."""
    return {
        "bind": f"{host}:{port}",
        "worker_class": "webapp.patient_worker.PatientWorker",
        "workers": settings().web_processes,
        "threads": settings().web_threads,
        "worker_connections": 4000,
        "timeout": 60,
        "graceful_timeout": 5,
        "keepalive": 5,
        "worker_tmp_dir": "/dev/shm",  # noqa: S108  # gunicorn's heartbeat file: never on a slow disk
        "limit_request_line": 8190,
        "accesslog": None,
        "control_socket_disable": True,
    }


def main() -> None:
    """Serve until stopped."""
    log.configure()
    WebServer(options(settings().web_host, settings().web_port)).run()


if __name__ == "__main__":
    main()
