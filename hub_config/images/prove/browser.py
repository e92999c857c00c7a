"""Chromium through its DevTools pipe: the few calls that a journey needs, with the standard library."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

PROGRAM = "/usr/lib/chromium/chromium-headless-shell"
FEATURES = (
    "AutofillServerCommunication",
    "CertificateTransparencyComponentUpdater",
    "DialMediaRouteProvider",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "SegmentationPlatform",
    "Translate",
)
"""Of Chromium, off: they ask its maker's servers."""
FLAGS = (
    "--no-sandbox",  # the container is the sandbox: no capability, no way to gain one
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--no-proxy-server",
    "--no-first-run",
    "--no-pings",
    "--disable-background-networking",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    f"--disable-features={','.join(FEATURES)}",
    "--window-size=1280,900",
    "--user-data-dir=/tmp/profile",
)
"""What is left are the requests of pages. Those a page makes count."""
KEYS = {
    "Enter": {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
}
CONTROL = 2  # a modifier
LIMIT = 60.0  # seconds for an answer of the browser
LAST = "const last = [...document.querySelectorAll(arguments[0])].pop();"

PLACE = """
const found = [...document.querySelectorAll(arguments[0])].find(each => each.getClientRects().length > 0);
if (!found) return null;
found.scrollIntoView({ block: 'nearest' });
const box = found.getBoundingClientRect();
return [box.x + box.width / 2, box.y + box.height / 2];
"""


class Stuck(Exception):
    """Something did not happen in time; the message is for a person."""


class Browser:
    """One page. Calls raise Stuck."""

    def __init__(self, language: str = "en-US") -> None:
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        command = [PROGRAM, *FLAGS, f"--lang={language}", f"--accept-lang={language}", "about:blank"]
        # The browser reads from descriptor 3 and writes to 4; what comes lies in between is not handed on.
        doors = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", doors, "-", *command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._number = 0
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._session = ""
        made = self._call("Target.createTarget", url="about:blank")
        attached = self._call("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        self._session = attached["sessionId"]
        self._call("Page.enable")

    def _listen(self) -> None:
        with os.fdopen(self._from, "rb", buffering=0) as stream:
            kept = b""
            while data := stream.read(1 << 16):
                *whole, kept = (kept + data).split(b"\0")
                for each in map(json.loads, whole):
                    if each.get("method") == "Page.javascriptDialogOpening":  # "leave this page?"
                        self._send("Page.handleJavaScriptDialog", {"accept": True})
                    elif "id" in each:
                        self._answers.put(each)
        self._answers.put({"id": -1})

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        try:
            while data:
                data = data[os.write(self._to, data) :]
        except OSError:
            raise Stuck("the browser has ended") from None
        return self._number

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = self._send(method, parameters)
        end = time.monotonic() + LIMIT
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise Stuck(f"the browser did not answer to {method} within {LIMIT:.0f} s") from None
            if answer["id"] == -1:
                raise Stuck("the browser has ended")
            if answer["id"] == number:
                break
        if "error" in answer:
            raise Stuck(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """The condition's answer, once it is true."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(Stuck):
                if found := condition():
                    return found
            if time.monotonic() > end or self._process.poll() is not None:
                raise Stuck(f"waited {seconds:.0f} s in vain for {what}")
            time.sleep(0.1)

    def open(self, url: str) -> None:
        """Returns when the page is there, or is another one than before."""
        found = self._call("Page.navigate", url=url)
        if found.get("errorText", "net::ERR_ABORTED") != "net::ERR_ABORTED":
            raise Stuck(f"{url}: {found['errorText']}")
        self.until(lambda: self.script("return document.readyState !== 'loading'"), f"{url} to be read")

    def reload(self) -> None:
        self._call("Page.reload")

    @property
    def url(self) -> str:
        return str(self.script("return location.href"))

    def script(self, code: str, *arguments: Any) -> Any:
        """What a script on the page returns."""
        text = f"(function () {{ {code} }}).apply(null, {json.dumps(arguments)})"
        found = self._call("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise Stuck(str(found["exceptionDetails"].get("exception", {}).get("description", "a script failed"))[:300])
        return found["result"].get("value")

    def visible(self, selector: str) -> bool:
        code = "return [...document.querySelectorAll(arguments[0])].some(each => each.getClientRects().length > 0)"
        return bool(self.script(code, selector))

    def wait_for(self, selector: str, what: str, seconds: float = 60) -> None:
        """Until an element of this kind is shown."""
        self.until(lambda: self.visible(selector), what, seconds)

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of the first element of this kind that is shown."""
        place = self.script(PLACE, selector)
        if not place:
            raise Stuck(f"there is no {selector} to click")
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, x=place[0], y=place[1])

    def write(self, selector: str, text: str) -> None:
        """As if typed into the first element of this kind."""
        self.script("const field = document.querySelector(arguments[0]); field.focus(); field.select?.()", selector)
        self._call("Input.insertText", text=text)

    def press(self, key: str, modifiers: int = 0) -> None:
        named = {name: value for name, value in KEYS[key].items() if name != "text" or not modifiers}
        for kind in ("rawKeyDown" if modifiers else "keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, modifiers=modifiers, **named)

    def text(self, selector: str) -> str:
        """Of the last element of this kind; empty where there is none."""
        return str(self.script(f"{LAST} return last ? last.innerText : ''", selector))

    def attribute(self, selector: str, name: str) -> str:
        """Of the last element of this kind; empty where there is none."""
        return str(self.script(f"{LAST} return last ? last.getAttribute(arguments[1]) || '' : ''", selector, name))

    def picture(self) -> str:
        """PNG in base64; empty where the browser gives none."""
        with contextlib.suppress(Stuck):
            return str(self._call("Page.captureScreenshot", format="png")["data"])
        return ""

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
