"""A stand-in for MAST on the loopback, that speaks as much of it as astroquery asks for."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

OBSERVATION = ("obsid", "obs_id", "proposal_id", "filters", "target_name", "t_obs_release")
PRODUCT = ("obsID", "parent_obsid", "productFilename", "dataURI", "size", "filters", "prvversion")
NUMBERS = {"t_obs_release": "float", "size": "int"}
PUBLIC = 59000.0  # modified Julian date


class Mast:
    """What it has, what it shall do wrong, and what it was asked.

    Attributes
    ----------
    observations : list of dict
    products : list of dict
        With the number ``obsID`` of their observation.
    contents : dict of str to bytes
        By name.
    secret : set of str
        Names of files that only the token "right" gets.
    refusals : dict of str to list of int
        By name, codes that the next requests for a file end with; by ``part of <name>``, those for
        a part of it.
    breaks : dict of str to list of int
        By name, after how many bytes the next answers end.
    stalls : dict of str to int
        By name, after how many bytes the next answer waits for `go_on`.
    ranges : bool
        Whether parts of files can be asked for.
    asked : list of str
        Paths of all requests, and the part that was asked for.
    """

    def __init__(self):
        self.observations, self.products, self.contents = [], [], {}
        self.secret, self.refusals, self.breaks = set(), {}, {}
        self.stalls, self.go_on = {}, threading.Event()
        self.ranges, self.asked, self.address = True, [], ""
        self._lock = threading.Lock()
        self.most, self._now = 0, 0

    def add(self, name, content, *, filters="F356W", target="FIELD", release=PUBLIC, program=1234):
        """Add a file and the observation that it is of."""
        number = str(1000 + len(self.observations))
        row = (number, name.rpartition("_")[0], str(program), filters, target, release)
        self.observations.append(dict(zip(OBSERVATION, row, strict=True)))
        uri = f"mast:JWST/product/{name}"
        row = (number, number, name, uri, len(content), filters, "1.20.0")
        self.products.append(dict(zip(PRODUCT, row, strict=True)))
        self.contents[name] = content

    def search(self, request):
        """Return the rows of a question."""
        service, given = request["service"], request["params"]
        if service == "Mast.Caom.Products":
            numbers = given["obsid"].split(",")
            return PRODUCT, [row for row in self.products if row["obsID"] in numbers]
        assert service == "Mast.Caom.Filtered", service
        rows = self.observations
        for wanted in given["filters"]:
            name = wanted["paramName"]
            if name in OBSERVATION:
                values, text = wanted.get("values") or [], wanted.get("freeText")
                text = text and text.strip("%*")
                rows = [r for r in rows if r[name] in values or (text and text in r[name])]
        return OBSERVATION, rows

    @contextmanager
    def transfer(self):
        """Count files that are given at once."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        yield
        with self._lock:
            self._now -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _json(self, value, code=200):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        mast = self.server.mast
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        mast.asked.append(self.path)
        if "columnsconfig" in self.path:
            names = (*OBSERVATION, *PRODUCT, "obs_collection")
            return self._json({name: {"text": name, "type": "string"} for name in names})
        fields, rows = mast.search(json.loads(unquote(body.removeprefix("request="))))
        named = [{"name": name, "type": NUMBERS.get(name, "string")} for name in fields]
        return self._json({"status": "COMPLETE", "fields": named, "data": rows, "paging": None})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        mast, parts = self.server.mast, urlsplit(self.path)
        if parts.path == "/whoami":
            right = "mast_token=right" in (self.headers["Cookie"] or "")
            return self._json({"anon": not right, "attrib": {}})
        name = parse_qs(parts.query)["uri"][0].rpartition("/")[2]
        part = self.headers["Range"] or ""
        mast.asked.append(f"{self.command} {name} {part}".strip())
        if part and (refusals := mast.refusals.get(f"part of {name}")):
            return self._json({}, refusals.pop(0))
        if refusals := mast.refusals.get(name):
            return self._json({}, refusals.pop(0))
        if name not in mast.contents:
            return self._json({}, 404)
        if name in mast.secret and "mast_token=right" not in (self.headers["Cookie"] or ""):
            return self._json({}, 401)
        with mast.transfer():
            return self._send(mast, name, part)

    def _send(self, mast, name, part):
        content = mast.contents[name]
        start = int(part.removeprefix("bytes=").partition("-")[0]) if part and mast.ranges else 0
        self.send_response(206 if start else 200)
        if mast.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "GET":
            ends = mast.breaks.get(name)
            end = start + ends.pop(0) if ends else len(content)
            if pause := mast.stalls.pop(name, 0):
                self.wfile.write(content[start : start + pause])
                start += pause
                mast.go_on.wait(60)
            self.wfile.write(content[start:end])
            self.close_connection = end < len(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing of clients that go away."""


@contextmanager
def serving():
    """Run a stand-in; its address is in ``address``."""
    mast = Mast()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.mast = mast
    mast.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield mast
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def configure(folder, mast):
    """Return the environment in which astroquery asks a stand-in."""
    config = folder / "astropy"
    config.mkdir(parents=True)
    (config / "astroquery.cfg").write_text(f"[mast]\nserver = {mast.address}\n")
    return {"XDG_CONFIG_HOME": str(folder)}
