"""Images of a scripted provider. The name of the model says how it goes.

`/images/generations`: `picture` (base64, or what `response_format` says), `picture-url`, `picture-tokens` (counts
them), `picture-slow-2` (seconds), `picture-none`, `picture-garbled`, `picture-partly` (the first of several is lost),
`picture-second-fails` (only the first request is served), `picture-noise-3` (megabytes that no packing makes less),
`picture-many-50` (so many, at addresses, whatever was ordered), `400`, `500`, `429-ra-2` … With `batch_size` in the
request the answer has the shape of those who call it so.

Results at an address, named after what is there: `picture-at-svg`, `-html`, `-lying` (SVG that claims to be PNG),
`-huge`, `-long` (says that it is huge), `-redirect`, `-expired`, `-gzip`, `-cut`, `-elsewhere` (another port of this
machine), `-metadata`, `-file`, `-nowhere`, `-drip` (a byte each 0.1 s); `-jpeg`, `-gif` and `-webp` are good.

Tasks: `task` (pending, running twice, done), `task-soon` (pending, done), `task-partly`, `task-failed`,
`task-inspected`, `task-canceled`, `task-unknown`, `task-odd`, `task-blind` (two answers are lost), `task-lost` (all
are), `task-forever`, `task-empty`, `task-nameless`, `task-many` (50 results), `task-at-expired` …
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Callable
from os import urandom
from typing import Any

from adapters.png import png
from tests.servers.scripted_answers import Bill, Body, Script, error_body
from tests.servers.scripted_turn import Line

PICTURE = png(2, 2, b"\x10\x20\x30")
JPEG = b"\xff\xd8\xff\xe0" + b"j" * 50
GIF = b"GIF89a" + b"g" * 50
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 " + b"w" * 50
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HUGE = (32 << 20) + 1
_TELLINGS = {"task": 4, "task-partly": 4, "task-blind": 4, "task-forever": 1 << 30}
"""How often the state of a task is told until its end is; twice where it is not said."""
_GOOD = {"png": PICTURE, "jpeg": JPEG, "gif": GIF, "webp": WEBP}


class Images:
    """Results are at the address that the order came to."""

    _root = ""

    def __init__(self) -> None:
        self._tasks: dict[str, str] = {}
        self._told: dict[str, int] = {}
        self._served: dict[str, int] = {}

    def knows(self, path: str) -> bool:
        return any(part in path for part in ("/images/generations", "/image-synthesis", "/tasks/", "/results/"))

    def order(self, line: Line, bill: Bill, path: str) -> None:
        self._root = f"http://{bill.headers['host']}"
        if "/image-synthesis" in path:
            self._order(line, bill)
        else:
            self._generate(line, bill)

    def fetch(self, line: Line, path: str) -> None:
        name = path.partition("?")[0].rpartition("/")[2]
        if "/results/" in path:
            self._result(line, name)
        else:
            self._task(line, name)

    # ── at once ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _generate(self, line: Line, bill: Bill) -> None:
        script = Script.of(bill.model)
        status, _, wait = bill.model.partition("-ra-")
        if status.isdigit():
            more = [f"Retry-After: {wait}"] if wait else []
            line.whole(int(status), error_body(int(status), script), *more)
            return
        if script.name == "picture-slow":
            line.pause(script.number(2))
        served = self._served[bill.id] = self._served.get(bill.id, 0) + 1
        if script.name == "picture-second-fails" and served > 1:
            line.whole(400, error_body(400, script))
            return
        line.whole(200, json.dumps(self._images(bill, script)).encode())

    def _images(self, bill: Bill, script: Script) -> Body:
        payload = bill.payload
        count = payload.get("n") or payload.get("batch_size") or 1
        if script.name == "picture-many":
            count = int(script.number(50))
        items = [self._item(payload, script, number) for number in range(0 if script.name == "picture-none" else count)]
        if "batch_size" in payload:
            return {"images": items, "data": items, "timings": {"inference": 0.5}, "seed": 7}
        body: Body = {"created": 1_700_000_000, "data": items}
        if script.name == "picture-tokens":
            details = {"text_tokens": 9, "image_tokens": 0}
            body["usage"] = {
                "input_tokens": 9,
                "output_tokens": 100 * count,
                "total_tokens": 9 + 100 * count,
                "input_tokens_details": details,
            }
        return body

    def _item(self, payload: Body, script: Script, number: int) -> Body:
        if script.name == "picture-garbled":
            return {"b64_json": "%%%"}
        if script.name == "picture-partly" and number == 0:
            return {"url": self._address("expired")}
        if script.name.startswith("picture-at-"):
            return {"url": self._address(script.name.removeprefix("picture-at-"))}
        if script.name in {"picture-url", "picture-many"} or "batch_size" in payload:
            return {"url": self._address("png")}
        noise = urandom(int(script.number(3)) << 20) if script.name == "picture-noise" else b""
        return {"b64_json": b64encode(PICTURE + noise).decode(), "revised_prompt": f"{payload['prompt']}, in oil"}

    def _address(self, name: str) -> str:
        elsewhere = {
            "elsewhere": "http://127.0.0.1:1/results/png",
            "metadata": "http://169.254.169.254/latest/meta-data",
            "file": "file:///etc/passwd",
            "nowhere": "not an address",
        }
        return elsewhere.get(name, f"{self._root}/results/{name}?Expires=1&Signature=s%2Bx")

    # ── as a task ────────────────────────────────────────────────────────────────────────────────────────────────

    def _order(self, line: Line, bill: Bill) -> None:
        task_id = f"task-{len(self._tasks)}"
        self._tasks[task_id] = json.dumps([bill.model, bill.payload["parameters"]["n"]])
        output = {"task_status": "PENDING", "task_id": "../../secret" if bill.model == "task-nameless" else task_id}
        line.whole(200, json.dumps({"output": output, "request_id": "scripted"}).encode())

    def _task(self, line: Line, task_id: str) -> None:
        model, count = json.loads(self._tasks[task_id])
        told = self._told[task_id] = self._told.get(task_id, 0) + 1
        if model == "task-lost" or (model == "task-blind" and told <= 2):
            line.whole(500, error_body(500, Script.of("500")))
            return
        line.whole(200, json.dumps(self._progress(model, count, told)).encode())

    def _progress(self, model: str, count: int, told: int) -> Body:
        metrics = {"TOTAL": count, "SUCCEEDED": min(told - 1, count - 1), "FAILED": 0}
        if told == 1 and model != "task-blind":
            return {"output": {"task_status": "PENDING"}}
        if told < _TELLINGS.get(model, 2):
            return {"output": {"task_status": "RUNNING", "task_metrics": metrics}}
        return self._end(model, count)

    def _end(self, model: str, count: int) -> Body:
        failed: dict[str, Body] = {
            "task-failed": {"task_status": "FAILED", "code": "InternalError", "message": "No paint."},
            "task-inspected": {"task_status": "FAILED", "code": "DataInspectionFailed", "message": "Not this."},
            "task-canceled": {"task_status": "CANCELED"},
            "task-unknown": {"task_status": "UNKNOWN"},
            "task-odd": {"task_status": ["RUNNING"]},
            "task-empty": {"task_status": "SUCCEEDED", "results": []},
        }
        if model in failed:
            return {"output": failed[model]}
        name = model.partition("-at-")[2] or "png"
        results: list[Body] = [
            {"url": self._address(name), "actual_prompt": "in oil"}
            for _ in range(50 if model == "task-many" else count)
        ]
        made = count
        if model == "task-partly":
            results[0], made = {"code": "InternalError.Timeout", "message": "Too slow."}, count - 1
        return {"output": {"task_status": "SUCCEEDED", "results": results}, "usage": {"image_count": made}}

    # ── what was made ────────────────────────────────────────────────────────────────────────────────────────────

    def _result(self, line: Line, name: str) -> None:
        acts: dict[str, Callable[[], Any]] = {
            "svg": lambda: line.whole(200, SVG, content_type="image/svg+xml"),
            "lying": lambda: line.whole(200, SVG, content_type="image/png"),
            "html": lambda: line.whole(200, b"<html></html>", content_type="text/html"),
            "huge": lambda: self._flood(line),
            "long": lambda: line.head(200, "image/png", length=HUGE),
            "redirect": lambda: line.whole(302, b"", f"Location: {self._root}/results/png"),
            "expired": lambda: line.whole(403, b"<Error>Expired</Error>", content_type="application/xml"),
            "gzip": lambda: line.whole(200, gzip.compress(PICTURE), "Content-Encoding: gzip", content_type="image/png"),
            "cut": lambda: self._cut(line),
            "drip": lambda: self._drip(line),
        }
        act = acts.get(name)
        if act is not None:
            act()
        else:
            line.whole(200, _GOOD[name], content_type="application/octet-stream")

    def _flood(self, line: Line) -> None:
        line.head(200, "image/png")
        line.chunk(PICTURE)
        for _ in range(HUGE // 65_536 + 1):
            line.chunk(b"x" * 65_536)
        line.end()

    def _cut(self, line: Line) -> None:
        line.head(200, "image/png", length=len(PICTURE))
        line.send(PICTURE[:20])
        line.close()

    def _drip(self, line: Line) -> None:
        line.head(200, "image/png", length=len(PICTURE))
        for byte in PICTURE:
            line.send(bytes([byte]))
            line.pause(0.1)
