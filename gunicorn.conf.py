"""How gunicorn runs Parley: started by `parley serve`, or by hand with `gunicorn -c gunicorn.conf.py wsgi:app`."""

import gc
import os
import shutil
from functools import partial
from typing import Any

from infrastructure.logging import configure_logging
from infrastructure.redaction import secrets_of
from infrastructure.reload import Reload
from infrastructure.settings import ACCEPTED, Settings, load

_settings = load()
configure_logging(secrets_of(_settings))
_metrics = _settings.home / "metrics"


def _check(settings: Settings) -> None:
    """In a process of its own, which may import anything."""
    from infrastructure.route_parts import check  # noqa: PLC0415 - see above

    check(settings)


_reload = Reload(_settings, _check)

bind = _settings.bind
workers = _settings.workers
worker_class = "infrastructure.gevent_worker.Worker"
worker_connections = 1000
timeout = 60
keepalive = 5  # also the deadline for a request's headers
graceful_timeout = round(_settings.server["drain"]) + 10  # our own drain ends first, so nobody is killed
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190
header_map = "refuse"
# Nobody's word about the client is taken here: `infrastructure/mount.py` decides whose counts.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
control_socket_disable = True
preload_app = False  # connections and journals belong to one process
accesslog = None  # Parley writes one line per request itself
logger_class = "infrastructure.logging.GunicornLogger"
proc_name = "parley"

os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics)  # read by prometheus_client when the workers import it
os.environ[ACCEPTED] = str(_reload.copy)  # read by the workers when they begin


# What a hook imports, it imports in the worker, which is patched by then; the master stays unpatched and small.


def on_starting(server: Any) -> None:
    """Counters begin anew with the master: files of earlier workers would be added to ours."""
    _reload.begin()
    server.handle_hup = partial(_reload.run, server)  # gunicorn looks its handlers up by name
    shutil.rmtree(_metrics, ignore_errors=True)
    _metrics.mkdir(parents=True, exist_ok=True)


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """What a worker loads stays: looking through it for garbage would take a third of the start."""
    gc.disable()


def post_worker_init(worker: Any) -> None:
    from infrastructure.worker import start  # noqa: PLC0415 - see above

    start(worker)
    gc.collect()
    gc.freeze()  # and later each full collection would hold up all streams for a tenth of a second
    gc.enable()


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    from infrastructure.worker import stop  # noqa: PLC0415 - see above

    stop(worker)


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """In the master: a dead worker's gauges must not be summed for ever."""
    for gauge in _metrics.glob(f"gauge_live*_{worker.pid}.db"):
        gauge.unlink(missing_ok=True)
