"""A web server as the product starts it, with two threads, over an app that says how long a body was."""

import sys
from collections.abc import Iterable
from typing import Any

from webapp import patient_worker
from webapp.serve import WebServer, options


class Server(WebServer):
    """Serves `answer`."""

    def load(self) -> Any:
        return answer


def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(str(len(body)))))])
    return [str(len(body)).encode()]


if __name__ == "__main__":
    patient_worker.REQUEST_S = float(sys.argv[2])
    Server({**options("127.0.0.1", int(sys.argv[1])), "workers": 1, "threads": 2}).run()
