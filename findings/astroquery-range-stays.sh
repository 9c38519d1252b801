#!/usr/bin/env bash
# astroquery 0.4.11: after a download that could not be continued, the next file is only its end.
#
# A server on the loopback has two files, a and b, of ten bytes each. Of a four bytes are there already;
# when the other six are asked for, the server is busy once (503). Then b is fetched by the same object.
# Expected: an HTTPError for a, and b whole.
# Seen: the HTTPError, and b without its first four bytes, without a word: the header that asks for a's
# last six bytes is removed from the session only when that request succeeds.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check astroquery==0.4.11

HOME=$folder venv/bin/python - <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests
from astroquery.query import BaseQuery

FILES = {"/a": b"0123456789", "/b": b"abcdefghij"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content, wanted = FILES[self.path], self.headers["Range"]
        if wanted and self.path == "/a":
            return self.send_error(503)
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        self.send_response(206 if start else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_address[1]}"
Path("a").write_bytes(b"0123")
query = BaseQuery()
try:
    query._download_file(f"{address}/a", "a", continuation=True, verbose=False)
except requests.HTTPError as error:
    print("a:", error.response.status_code)
query._download_file(f"{address}/b", "b", continuation=True, verbose=False)
seen = Path("b").read_bytes()
print("b:", seen.decode())
assert seen == b"efghij"
PYTHON
