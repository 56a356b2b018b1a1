"""Headless Chromium over the WebDriver protocol: a page opened, touched and looked at."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


class Browser:
    """``with Browser() as browser: browser.open(file)``."""

    def __enter__(self) -> Browser:
        self.driver = subprocess.Popen(
            [str(DRIVER), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.driver.stdout is not None
        port = next(
            found[1]
            for line in self.driver.stdout
            if (found := re.search(r"successfully on port (\d+)", line))
        )
        self.address = f"http://127.0.0.1:{port}/session"
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        chrome = {"binary": CHROMIUM, "args": [*arguments, "--hide-scrollbars"]}
        wanted = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.call("", {"capabilities": {"alwaysMatch": wanted}})
        self.address += "/" + session["sessionId"]
        return self

    def __exit__(self, *_: object) -> None:
        self.call("", method="DELETE")
        self.driver.terminate()
        self.driver.communicate(timeout=20)

    def call(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """One command; the value that it answers with."""
        payload = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.address + path, payload, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's own."""
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def screen(self, width: int, height: int, *, dark: bool = False, mobile: bool = False) -> None:
        """The size of the window, the reader's colour scheme, and whether it is a phone."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if mobile else 1,
            mobile=mobile,
        )
        self.devtools("Emulation.setTouchEmulationEnabled", enabled=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, file: Path) -> None:
        self.call("/url", {"url": file.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """What JavaScript returns."""
        return self.call("/execute/sync", {"script": script, "args": []})

    def messages(self) -> list[str]:
        """What the page has written on the console so far."""
        return [entry["message"] for entry in self.call("/se/log", {"type": "browser"})]

    def drag(self, *places: tuple[float, float], kind: str = "mouse") -> None:
        """Press at the first place, in pixels of the window, and move over the others."""
        moves = [
            {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)} for x, y in places
        ]
        press, release = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        actions = [moves[0], press, *moves[1:], release]
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}}
        self.call("/actions", {"actions": [{**pointer, "actions": actions}]})

    def hover(self, x: float, y: float) -> None:
        move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
        pointer = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}}
        self.call("/actions", {"actions": [{**pointer, "actions": [move]}]})

    def press(self, *keys: str) -> None:
        """Hold down the keys in turn, then let all go."""
        down = [{"type": "keyDown", "value": key} for key in keys]
        up = [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self.call("/actions", {"actions": [{"type": "key", "id": "keys", "actions": down + up}]})

    def picture(self, file: Path) -> Path:
        """A screenshot of the window."""
        file.write_bytes(base64.b64decode(self.call("/screenshot", method="GET")))
        return file
