"""A stand-in for the Hugging Face Hub on 127.0.0.1: as much of its HTTP interface as models need to come and go."""

import base64
import hashlib
import json
from collections import Counter
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from local_server import LocalServer


class Hub(LocalServer):
    """`with Hub() as hub:` serves repositories of files at `hub.url`, and counts the files it has sent.

    `repositories[NAME]` is a repository's content now: path → bytes. `commits` has what it was at each commit.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.sent: Counter[str] = Counter()
        self.claimed: dict[str, int] = {}  # size that a file is said to have
        super().__init__(type("HandlerOfHub", (Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def commit(self, name: str) -> str:
        """The id of a repository's content, as it is now."""
        parts = [f"{path} {hashlib.sha256(content).hexdigest()}" for path, content in self.repositories[name].items()]
        found = hashlib.sha1("\n".join([name, *sorted(parts)]).encode()).hexdigest()
        self.commits[found] = dict(self.repositories[name])
        return found

    def changed(self, name: str, lines: list[dict[str, Any]]) -> str:
        """Apply the operations of a commit; returns its id."""
        for line in lines:
            key, value = line["key"], line["value"]
            if key == "file":
                self.repositories[name][value["path"]] = base64.b64decode(value["content"])
            elif key == "deletedFile":
                del self.repositories[name][value["path"]]
        return self.commit(name)

    def listed(self, commit: str) -> list[dict[str, Any]]:
        """The files of a commit, as the interface tells them."""
        return [
            {
                "type": "file",
                "path": path,
                "rfilename": path,
                "oid": hashlib.sha1(content).hexdigest(),
                "size": self.claimed.get(path, len(content)),
            }
            for path, content in self.commits[commit].items()
        ]


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    hub: Hub  # whose content it tells; a subclass names it

    def log_message(self, *words: object) -> None:
        pass

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def tell(self, tree: Any) -> None:
        self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")

    def missing(self, code: str) -> None:
        self.answer(404, b"{}", X_Error_Code=code, X_Error_Message="not here")

    def do_GET(self) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts[:2] == ["api", "models"]:
            self.describe("/".join(parts[2:4]), *parts[4:])
        elif parts[2:3] == ["resolve"]:
            self.give("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self.missing("EntryNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    def found(self, name: str, revision: str) -> str | None:
        if name not in self.hub.repositories:
            self.missing("RepoNotFound")
            return None
        commit = self.hub.commit(name) if revision == "main" else revision
        if commit not in self.hub.commits:
            self.missing("RevisionNotFound")
            return None
        return commit

    def describe(self, name: str, what: str = "revision", revision: str = "main", *rest: str) -> None:
        commit = self.found(name, revision)
        if commit is None:
            return
        files = self.hub.listed(commit)
        self.tell(files if what == "tree" else {"id": name, "sha": commit, "siblings": files})

    def give(self, name: str, revision: str, path: str) -> None:
        commit = self.found(name, revision)
        if commit is None:
            return
        if path not in self.hub.commits[commit]:
            return self.missing("EntryNotFound")
        content = self.hub.commits[commit][path]
        self.hub.sent[path] += self.command == "GET"
        self.answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=commit)

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts == ["api", "repos", "create"]:
            asked = json.loads(text)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.hub.repositories.setdefault(name, {})
            self.hub.private[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
            self.tell({"url": f"{self.hub.url}/{name}"})
        elif parts == ["api", "validate-yaml"]:
            self.tell({"errors": [], "warnings": []})
        elif parts[4] == "preupload":
            files = json.loads(text)["files"]
            self.tell(
                {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files]}
            )
        else:
            name = "/".join(parts[2:4])
            commit = self.hub.changed(name, [json.loads(line) for line in text.splitlines()])
            self.tell({"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})
