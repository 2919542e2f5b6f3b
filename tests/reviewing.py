"""The review server as a browser meets it: a real process on a real socket, and requests with the headers that a browser sends."""

from __future__ import annotations

import http.client
import json
import signal
import struct
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from command import Command

JSON = "application/json"


class Answer:
    """Status, headers (lower case) and body of one answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """A browser with one session. `headers` are sent with every request; None leaves one away."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self.host = f"127.0.0.1:{port}"
        self.headers: dict[str, str | None] = {"host": self.host, "sec-fetch-site": "same-origin"}

    def send(self, method: str, path: str, body: Any = None, raw: bytes | None = None, **headers: str | None) -> Answer:
        """Send one request over a connection of its own. Header names have `_` for `-`."""
        sent = dict(self.headers)
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        if method == "POST":
            sent |= {"content-type": JSON, "origin": f"http://{self.host}", "content-length": str(len(data))}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(data)
            got = connection.getresponse()
            return Answer(got.status, {n.lower(): v for n, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    def login(self) -> Browser:
        """Use the token up."""
        got = self.send("POST", "/api/session", {"token": self.token})
        assert got.status == 200, got.body
        self.headers |= {"cookie": got.headers["set-cookie"].split(";")[0], "x-safelight-csrf": got.json["csrf"]}
        return self

    def get(self, path: str, expect: int = 200) -> Any:
        got = self.send("GET", path)
        assert got.status == expect, (path, got.status, got.body[:500])
        return got.json

    def post(self, path: str, body: Any, expect: int = 200) -> Any:
        got = self.send("POST", path, body)
        assert got.status == expect, (path, got.status, got.body[:500])
        return got.json

    def view(self, order: str = "first", stacked: bool = True, **wanted: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.post("/api/views", {"filter": wanted, "order": order, "stacked": stacked})
        return found

    def rows(self, view: dict[str, Any], first: int = 0, n: int = 512) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/views/{view['view']}/rows?from={first}&n={n}")
        return found

    def decide(self, view: dict[str, Any], target: Any, expect: int = 200, key: str = "", confirm: str | None = None, **wish: Any) -> Any:
        target = {"index": target} if isinstance(target, int) else target
        body = {"key": key or str(uuid.uuid4()), "view": view["view"], "target": target, "set": wish, "confirm": confirm}
        return self.post("/api/decisions", body, expect)

    def decide_all(self, view: dict[str, Any], **wish: Any) -> Any:
        """Decide all of a view, as the page does it: preview, then confirm."""
        asked = self.post("/api/decisions/preview", {"view": view["view"], "target": {"all": True}})
        return self.decide(view, {"all": True}, confirm=asked["confirm"], **wish)


class Serving:
    """A server of a case, in a process of its own."""

    def __init__(self, run: Command, case: Path, *words: str, **env: str) -> None:
        line = [sys.executable, "-m", "safelight.cli.main", "serve", str(case), "--no-browser", *words]
        self.process = subprocess.Popen(
            line, env={**run.env, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None
        address = self.process.stdout.readline().decode().strip()
        if not address:
            raise AssertionError(self.process.communicate()[1].decode()[-2000:])
        base, _, self.token = address.partition("/#token=")
        self.port = int(base.rsplit(":", 1)[1])

    def browser(self) -> Browser:
        return Browser(self.port, self.token).login()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)


def pictures_of(packed: bytes) -> list[bytes]:
    """Return the pictures of a packed answer, checked to its last byte."""
    magic, n = struct.unpack_from("<II", packed)
    assert magic == 0x504B4C53
    sizes = struct.unpack_from(f"<{n}I", packed, 8)
    at, found = 8 + 4 * n, []
    for size in sizes:
        found.append(packed[at : at + size])
        at += size
    assert at == len(packed)
    return found


def reviewed_case(run: Command, folder: Path) -> Path:
    """Make a case with pictures by code: known, near-duplicates, stacks, deleted names not needed; returns its folder."""
    from hashlib import md5

    from PIL import Image, ImageDraw

    case = folder / "review.case"
    phone = folder / "phone"
    for n in range(24):
        sub = phone / ("DCIM/100" if n % 3 else "WhatsApp/Media") / f"g{n % 4}"
        sub.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", (320, 240), (20 + 9 * n, 200 - 7 * n, 60))
        draw = ImageDraw.Draw(picture)
        for k in range(12):
            x, y = (37 * k * (n + 3)) % 300, (53 * k * (n + 5)) % 220
            draw.ellipse([x, y, x + 20 + 5 * k, y + 30 + 3 * n], fill=((k * 40 + n) % 256, (k * 90) % 256, (n * 30) % 256))
        exif = Image.Exif()
        if n % 2:
            exif[0x010F], exif[0x0110] = "Demo", f"Camera {n % 4}"
        picture.save(sub / f"picture {n}.jpg", quality=90, exif=exif)
        if n in (1, 2, 5):
            picture.save(sub / f"copy of {n}.jpg", quality=70)
    (phone / "<img src=x onerror=alert(1)>.txt").write_text("=1+1")
    known = [md5(p.read_bytes()).hexdigest() for p in sorted(phone.rglob("picture [0234].jpg"))]
    (folder / "known.md5").write_text("".join(f"{d}  x\n" for d in known))
    run("hashset", "add", folder / "known.md5", "--name", "known", "--as", "illegal")
    run("new", case)
    run("add", case, phone, "--exhibit", "A")
    run("run", case, "--workers", 1, "-q")
    return case
