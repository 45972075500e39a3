"""A W&B server on loopback, as far as W&B's client needs one: it takes runs, their history and their files."""

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

KEY = "9f" * 20


class WandbServer(ThreadingHTTPServer):
    """Answers as long as the block lasts, or until `die`.

    Args:
        takes_key: False refuses every request.

    Attributes:
        history: run id -> its lines, in the order in which they came.
        files: names of the files that were uploaded.
        views: the variables of each saved workspace or report.
    """

    daemon_threads = True

    def __init__(self, takes_key: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.takes_key = takes_key
        self.history: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.files: set[str] = set()
        self.views: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.die()

    def die(self) -> None:
        """Refuse connections from now on; each answer was the last of its connection."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may close the connection at any time."""

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL query."""
        project = {"id": "1", "name": "wheat", "entity": {"id": "1", "name": "farm"}}
        if "upsertBucket" in query:
            bucket = {"id": "1", "name": variables["name"], "displayName": None, "config": "{}", "project": project}
            return {"upsertBucket": {"bucket": {**bucket, "historyLineCount": 0}, "inserted": True}}
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        if "RunResumeStatus" in query:
            return {"model": {**project, "bucket": self._bucket(variables["name"])}}
        if "upsertView" in query:
            self.views.append(variables)
            view = {key: variables[key] for key in ("name", "displayName", "spec")}
            owner = {**project, "name": variables["projectName"], "entityName": variables["entityName"]}
            return {"upsertView": {"view": {"id": "Vmlldzox", **view, "project": owner}, "inserted": True}}
        if "models(" in query:
            page = {"endCursor": "", "hasNextPage": False}
            known = {**project, "entityName": "farm", "createdAt": "", "isBenchmark": False, "user": None}
            return {"models": {"totalCount": 1, "pageInfo": page, "edges": [{"node": known, "cursor": "1"}]}}
        if "viewer" in query:
            return {"viewer": {"id": "1", "entity": "farm", "username": "farmer", "teams": {"edges": []}}}
        return {}

    def _bucket(self, name: str) -> dict[str, Any] | None:
        lines = self.history.get(name)
        if not lines:
            return None
        tail = json.dumps([json.dumps(lines[-1])])
        counts = {"historyLineCount": len(lines), "eventsLineCount": 0, "logLineCount": 0}
        texts = {"historyTail": tail, "eventsTail": "[]", "summaryMetrics": json.dumps(lines[-1]), "config": "{}"}
        return {"id": "1", "name": name, "displayName": name, "tags": [], "notes": None, **counts, **texts}


class _Handler(BaseHTTPRequestHandler):
    server: WandbServer

    def do_POST(self) -> None:
        body = self._body()
        if not self.server.takes_key:
            self._send({"errors": [{"message": "user is not logged in"}]}, 401)
        elif self.path == "/graphql":
            asked = json.loads(body)
            self._send({"data": self.server.answer(asked["query"], asked.get("variables") or {})})
        elif self.path.endswith("/file_stream"):
            sent = json.loads(body).get("files", {}).get("wandb-history.jsonl", {"content": []})
            run = self.path.split("/")[-2]
            lines = self.server.history[run]
            if sent["content"]:
                lines[sent["offset"] :] = map(json.loads, sent["content"])
            self._send({})
        else:
            self._send({})

    def do_PUT(self) -> None:
        self._body()
        self.server.files.add(self.path.removeprefix("/upload/"))
        self._send({})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, tree: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Do not log."""
