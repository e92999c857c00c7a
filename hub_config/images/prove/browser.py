"""Chromium through its driver: the few calls of WebDriver (W3C) that a journey needs, with the standard library."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
LAST = "const last = [...document.querySelectorAll(arguments[0])].pop();"
KEYS = {"Enter": "\ue007", "Shift": "\ue008"}
FEATURES = (
    "AutofillServerCommunication",
    "CertificateTransparencyComponentUpdater",
    "DialMediaRouteProvider",
    "GlobalMediaControls",
    "InterestFeedContentSuggestions",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "SegmentationPlatform",
    "Translate",
)
"""Of Chromium, off: they ask its maker's servers."""
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # the container is the sandbox: no capability, no way to gain one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--disable-background-networking",
    "--disable-client-side-phishing-detection",
    "--disable-component-extensions-with-background-pages",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    f"--disable-features={','.join(FEATURES)}",
    "--window-size=1280,900",
    "--user-data-dir=/tmp/profile",
)
"""What is left are the requests of pages. Those a page makes count."""


class Stuck(Exception):
    """Something did not happen in time; the message is for a person."""


class Browser:
    """One window. Calls raise Stuck."""

    def __init__(self, language: str = "en-US", port: int = 9515) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}", "--silent"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.until(self._ready, "the driver to answer", 30)
        options = {
            "binary": "/usr/bin/chromium",
            "args": [*FLAGS, f"--lang={language}"],
            "prefs": {"intl.accept_languages": language},
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": options}
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base += f"/session/{made['sessionId']}"

    def _ready(self) -> bool:
        with contextlib.suppress(Stuck):
            return bool(self._call("GET", "/status")["ready"])
        return False

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self._base}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            said = json.load(error)["value"]
            raise Stuck(f"{said['error']}: {said['message'].splitlines()[0]}") from None
        except OSError as error:
            raise Stuck(f"the driver does not answer: {error}") from None

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """The condition's answer, once it is true."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(Stuck):
                if found := condition():
                    return found
            if time.monotonic() > end:
                raise Stuck(f"waited {seconds:.0f} s in vain for {what}")
            time.sleep(0.1)

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def reload(self) -> None:
        self._call("POST", "/refresh", {})

    @property
    def url(self) -> str:
        return str(self._call("GET", "/url"))

    def script(self, code: str, *arguments: Any) -> Any:
        """What a script on the page returns."""
        return self._call("POST", "/execute/sync", {"script": code, "args": list(arguments)})

    def find(self, selector: str) -> list[str]:
        """Elements by a CSS selector."""
        found = self._call("POST", "/elements", {"using": "css selector", "value": selector})
        return [each[ELEMENT] for each in found]

    def visible(self, selector: str) -> bool:
        code = "return [...document.querySelectorAll(arguments[0])].some(each => each.offsetParent !== null)"
        return bool(self.script(code, selector))

    def wait_for(self, selector: str, what: str, seconds: float = 60) -> str:
        """The first element of this kind, once it is shown."""
        self.until(lambda: self.visible(selector), what, seconds)
        return self.find(selector)[0]

    def click(self, selector: str) -> None:
        self.script("document.querySelector(arguments[0]).click()", selector)

    def write(self, element: str, text: str) -> None:
        self._call("POST", f"/element/{element}/value", {"text": text})

    def press(self, *keys: str) -> None:
        """Together, as Shift and Enter."""
        named = [KEYS.get(key, key) for key in keys]
        downs = [{"type": "keyDown", "value": key} for key in named]
        ups = [{"type": "keyUp", "value": key} for key in reversed(named)]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": [*downs, *ups]}]})

    def text(self, selector: str) -> str:
        """Of the last element of this kind; empty where there is none."""
        return str(self.script(f"{LAST} return last ? last.innerText : ''", selector))

    def attribute(self, selector: str, name: str) -> str:
        """Of the last element of this kind; empty where there is none."""
        return str(self.script(f"{LAST} return last ? last.getAttribute(arguments[1]) || '' : ''", selector, name))

    def picture(self) -> str:
        """PNG in base64."""
        return str(self._call("GET", "/screenshot"))

    def close(self) -> None:
        with contextlib.suppress(Stuck):
            self._call("DELETE", "")
        self._driver.terminate()
        self._driver.wait()
