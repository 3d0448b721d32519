"""The site that both browsers visit, and the daemon as its owner asks it.

A driver is called as `DRIVER SCENARIO SETTINGS`; the settings are JSON (see `extension.rs`).
"""

import functools
import hashlib
import http.server
import json
import pathlib
import random
import sys
import threading
import time
import urllib.parse
import urllib.request

SCENARIO, SETTINGS = sys.argv[1], json.loads(sys.argv[2])
HOST, DAEMON, TOKEN = SETTINGS["host"], SETTINGS["daemon"], SETTINGS["token"]
DOWNLOADS = pathlib.Path(SETTINGS["downloads"])
EXTENSION = pathlib.Path(SETTINGS["extension"])

# A busy machine with two cores.
DEADLINE_S = 60


@functools.cache
def content(name, size):
    return random.Random(name).randbytes(size)


class Site(http.server.ThreadingHTTPServer):
    """Pages and files. What a file is like stands in its query: `size`, and words for what is odd about it."""

    daemon_threads = True

    def __init__(self, host):
        super().__init__((host, 0), Handler)
        self.origin = f"http://{host}:{self.server_port}"
        self.seen = []
        # For files that are sent up to here until they expire.
        self.budget, self.expired, self.lock = 2_000_000, threading.Event(), threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, address):
        pass  # A browser that hangs up is what is wanted.

    def of(self, name):
        """The requests for a file."""
        return [request for request in self.seen if request["name"] == name]

    def gone(self, name):
        return len(self.of(name))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        if not url.path.startswith("/files/"):
            links = "".join(f'<p><a href="{link}">{text}</a></p>' for text, link in PAGES.get(url.path, {}).items())
            session = "session=s3cret; HttpOnly; SameSite=Lax; Path=/" if url.path == "/login" else "seen=1; Path=/"
            html = f"<!doctype html><title>{url.path}</title>{links}".encode()
            return self.answer(200, html, Content_Type="text/html", Set_Cookie=session)
        name = url.path.removeprefix("/files/")
        headers = {key.lower(): value for key, value in self.headers.items()}
        times = self.server.gone(name)
        self.server.seen.append({"name": name, "query": query, "headers": headers})
        if "login" in query and "session=s3cret" not in headers.get("cookie", ""):
            return self.answer(200, b"<h1>Log in first</h1>", Content_Type="text/html")
        if "once" in query and times > 0:
            return self.answer(410, b"only once")
        if "sig" in query and self.server.expired.is_set() and query["sig"] == "1":
            return self.answer(403, b"expired")
        self.file(name, query, headers)

    def file(self, name, query, headers):
        data = content(name, int(query["size"]))
        start, end = 0, len(data)
        ranged = headers.get("range", "").removeprefix("bytes=")
        if ranged and "plain" not in query:
            first, last = ranged.split("-")
            start, end = int(first), min(int(last or end - 1) + 1, end)
        self.send_response(206 if ranged and "plain" not in query else 200)
        if ranged and "plain" not in query:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Type", query.get("type", "application/octet-stream"))
        self.send_header("Content-Disposition", f'attachment; filename="{name}"')
        self.send_header("ETag", f'"{hashlib.md5(name.encode()).hexdigest()}"')
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        for at in range(start, end, 65536):
            # What the browser gets for itself, which asks for no range, does not count.
            if query.get("sig") == "1" and ranged and not self.may_send():
                self.close_connection = True
                return
            if "slow" in query or "sig" in query:
                time.sleep(0.05)
            self.wfile.write(data[at : min(at + 65536, end)])

    def may_send(self):
        with self.server.lock:
            self.server.budget -= 65536
            may = self.server.budget > 0
        if not may:
            self.server.expired.wait()
        return may


PAGES = {}


def page_of(path, links):
    PAGES[path.split("?")[0]] = links
    return SITE.origin + path


def file(name, size=3_000_000, **query):
    query = urllib.parse.urlencode({"size": size, **query})
    return f"{SITE.origin}/files/{name}?{query}"


def daemon(method, path, body=None):
    """A request of the owner."""
    request = urllib.request.Request(DAEMON + path, method=method, data=body and json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {TOKEN}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as response:
        return json.loads(response.read() or "null")


def code():
    return daemon("POST", "/v1/pair/code")["code"]


def jobs():
    return daemon("GET", "/v1/jobs")["jobs"]


def holds(path, name, size=3_000_000):
    return path.is_file() and path.stat().st_size == size and path.read_bytes() == content(name, size)


SITE = Site(HOST)
