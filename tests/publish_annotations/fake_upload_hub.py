"""A server in place of the Hugging Face Hub: it keeps pushed files in memory, or refuses requests as a test asks.

It answers the requests of huggingface_hub 2.4 for creating a dataset and uploading a folder; every file is uploaded
as a small one, inside the commit.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_of_somebody"
ACCOUNT = "somebody"


class UploadHub:
    """Serves at `endpoint` while the context lasts; TOKEN may write to the datasets of ACCOUNT.

    datasets: the files of each dataset by path. private: whether each was created private. refused: by the end of an
    address, the status it is answered with. asked: method and path of all requests so far.
    """

    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.refused: dict[str, int] = {}
        self.asked: list[str] = []

    def __enter__(self) -> UploadHub:
        hub = self

        class Handler(_Handler):
            kept = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = f"{body['organization'] or ACCOUNT}/{body['name']}"
        answer = {"url": f"{self.endpoint}/datasets/{name}"}
        if name in self.datasets:
            return 409, answer
        if not name.startswith(f"{ACCOUNT}/"):
            return 403, {"error": "You don't have the rights to create a dataset there"}
        self.datasets[name], self.private[name] = {}, body.get("visibility") == "private"
        return 200, answer

    def commit(self, name: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.datasets[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del self.datasets[name][value["path"]]
        return {"commitUrl": f"{self.endpoint}/datasets/{name}/commit/1", "commitOid": "1" * 40}


class _Handler(BaseHTTPRequestHandler):
    kept: UploadHub

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        hub, path = self.kept, self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hub.asked.append(f"{self.command} {path}")
        for end, status in hub.refused.items():
            if path.endswith(end):
                return self._say(status, {"error": "refused"})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._say(401, {"error": "Invalid username or password."})
        if path == "/api/whoami-v2":
            return self._say(200, {"type": "user", "name": ACCOUNT, "orgs": []})
        if path == "/api/validate-yaml":
            known = b"license: cc-" in json.loads(body)["content"].encode()
            errors = [] if known else [{"message": '"license" must be one of the known licences'}]
            return self._say(200 if known else 400, {"errors": errors, "warnings": []})
        if path == "/api/repos/create":
            return self._say(*hub.create(json.loads(body)))
        found = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/(tree|preupload|commit)/main)?", path)
        if found is None or found[1] not in hub.datasets:
            return self._say(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        name, what = found[1], found[2]
        if what == "tree":
            files = hub.datasets[name].items()
            self._say(200, [{"type": "file", "oid": "0" * 40, "path": p, "size": len(c)} for p, c in files])
        elif what == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            self._say(200, {"files": modes})
        elif what == "commit":
            self._say(200, hub.commit(name, [json.loads(line) for line in body.splitlines()]))
        else:
            self._say(200, {"id": name, "sha": "1" * 40})

    do_POST = do_GET

    def _say(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)
