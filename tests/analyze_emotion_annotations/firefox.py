"""Debian's Firefox without a window, driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).

Playwright drives a Firefox of its own, which would be downloaded, and geckodriver is not in Debian. Firefox answers
BiDi itself, over a WebSocket, so a test needs no more than this.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

SECONDS = 60  # to start, and to answer a command
EVENTS = ["log.entryAdded", "network.beforeRequestSent", "browsingContext.userPromptOpened"]
KEYS = {"Enter": "\ue007", "ArrowRight": "\ue014", "Escape": "\ue00c", "End": "\ue010", "Space": " "}
_PREFERENCES = {  # so that it doesn't reach for the network by itself
    "app.normandy.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.cubeb.force_mock_context": True,  # sound goes nowhere and its clock runs, also where there is no device
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 1,  # a proxy that isn't there for every address: nothing is reached but files
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}
# Brings an element into sight, and returns its middle.
_IN_SIGHT = """(selector, text) => {
  const element = [...document.querySelectorAll(selector)].find((found) => found.textContent.includes(text));
  element.scrollIntoView({ block: "center" });
  const { x, y, width, height } = element.getBoundingClientRect();
  return [Math.round(x + width / 2), Math.round(y + height / 2)];
}"""
_LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")


class Firefox:
    """A running Firefox, until close() is called. Raises RuntimeError if a command fails, TimeoutError if it hangs."""

    def __init__(self, program: str, folder: Path) -> None:
        """program: its path. folder: an empty one, for its profile and log."""
        profile, log = folder / "profile", folder / "firefox.log"
        profile.mkdir(parents=True)
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in _PREFERENCES.items()]
        (profile / "user.js").write_text("".join(lines), encoding="utf-8")
        words = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [program, *words],
                stdout=output,
                stderr=output,
                env={**os.environ, "HOME": str(folder)},
                start_new_session=True,  # so that its processes can be ended together
            )
        self._number = 0
        self.events: list[dict[str, Any]] = []
        with ExitStack() as opened:
            opened.callback(self._kill)
            self._socket = opened.enter_context(
                connect(f"{self._address(log)}/session", max_size=None, open_timeout=SECONDS, proxy=None)
            )
            self.send("session.new", capabilities={})
            self.send("session.subscribe", events=EVENTS)
            self.close = opened.pop_all().close

    def _address(self, log: Path) -> str:
        deadline = time.monotonic() + SECONDS
        while not (found := _LISTENING.search(log.read_text(errors="replace"))):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Firefox does not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        return found[1]

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command; events that arrive before it are kept."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=SECONDS))
            if answer["type"] == "event":
                self.events.append(answer)
            elif answer["id"] == self._number:
                if answer["type"] == "error":
                    raise RuntimeError(f"{method}: {answer['error']}: {answer['message']}")
                return answer["result"]

    def open(self, address: str, width: int, height: int) -> FirefoxPage:
        """A page of its own, loaded."""
        page = FirefoxPage(self, self.send("browsingContext.create", type="tab")["context"])
        page.send("browsingContext.setViewport", viewport={"width": width, "height": height})
        page.send("browsingContext.navigate", url=address, wait="complete")
        return page

    def _kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # the group has the number of the process that leads it
        self._process.wait()


class FirefoxPage:
    """A page in a tab."""

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command for this page."""
        return self._firefox.send(method, context=self._context, **parameters)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, awaited, as JSON gives it."""
        answer = self._firefox.send(
            "script.evaluate",
            expression=f"(async () => JSON.stringify({{ value: await ({expression}) }}))()",
            target={"context": self._context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"]).get("value")

    def click(self, selector: str, text: str = "") -> None:
        """A click of the pointer on the middle of the first element that the selector finds and that has the text."""
        x, y = self.evaluate(f"({_IN_SIGHT})({json.dumps(selector)}, {json.dumps(text)})")
        move = {"type": "pointerMove", "x": x, "y": y}
        press = [{"type": name, "button": 0} for name in ("pointerDown", "pointerUp")]
        self._perform({"type": "pointer", "id": "mouse", "actions": [move, *press]})

    def press(self, key: str) -> None:
        """A key pressed and released, by its name in KEYS."""
        actions = [{"type": name, "value": KEYS[key]} for name in ("keyDown", "keyUp")]
        self._perform({"type": "key", "id": "keyboard", "actions": actions})

    def _perform(self, source: Mapping[str, Any]) -> None:
        self.send("input.performActions", actions=[source])

    def screenshot(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self.send("browsingContext.captureScreenshot")["data"])

    def complaints(self) -> list[str]:
        """What the page threw or wrote to the console, the dialogs that it opened, and addresses that it asked for.

        Firefox doesn't report what is loaded from a file.
        """
        self.evaluate("new Promise((drawn) => requestAnimationFrame(drawn))")  # what is on its way arrives before this
        found = []
        for event in self._firefox.events:
            about = event["params"]
            if self._context not in (about.get("context"), about.get("source", {}).get("context")):
                continue
            if event["method"] == "network.beforeRequestSent":
                found.append(f"request: {about['request']['url']}")
            else:
                found.append(f"{event['method']}: {about.get('text') or about.get('message')}")
        return found

    def close(self) -> None:
        """Close the tab."""
        self.send("browsingContext.close")
