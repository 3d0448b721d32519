"""The web page of a running daemon in a real Chromium, and what it has done that it must not do."""

import json
import time
import urllib.request

from playwright.sync_api import expect

# Longer than anything takes on a busy machine.
PATIENCE_MS = 40_000


class Rig:
    """A page, and what it has done that it must not do."""

    def __init__(self, browser, given, **context):
        self.given = given
        self.context = browser.new_context(viewport={"width": 1280, "height": 760}, **context)
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.add_init_script(
            "window.violations = []; addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective))"
        )
        self.page = self.context.new_page()
        self.complaints, self.foreign, self.wire = [], [], {}
        self.page.on("console", self._complained)
        self.page.on("pageerror", lambda error: self.complaints.append((str(error), None)))
        self.page.on("request", self._requested)
        self.page.on("response", self._answered)

    def _complained(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append((message.text, message.location.get("url")))

    def _requested(self, request):
        if not request.url.startswith(self.given["page"]):
            self.foreign.append(request.url)

    def _answered(self, response):
        path = response.url[len(self.given["page"]) - 1 :].split("#")[0]
        if path == "/" or path.startswith("/assets/"):
            if response.status == 200:
                assert response.headers.get("content-encoding") == "gzip", response.headers
                self.wire[path] = int(response.headers["content-length"])

    def open(self, fragment=""):
        self.page.goto(self.given["page"] + fragment)
        return self.page

    def enter(self):
        """Opens the page with the code, as `haul open` does, and waits for the list."""
        page = self.open(f"#code={self.given['code']}")
        expect(page.locator("#health")).to_have_attribute("data-state", "well")
        assert page.url == self.given["page"], f"the code stays in the address: {page.url}"
        return page

    def row(self, name):
        return self.page.locator(".row").filter(has=self.page.locator(".name", has_text=name))

    def toast(self, text):
        expect(self.page.locator(".toast").filter(has_text=text).first).to_be_visible()

    def call(self, method, path, body=None):
        """What another program does at the same time."""
        request = urllib.request.Request(
            self.given["page"].rstrip("/") + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.given['token']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def assert_clean(self, expected=()):
        """No request to another host, nothing against the policy, and no complaint but the expected ones."""
        assert self.page.evaluate("violations") == []
        assert self.foreign == [], self.foreign
        others = [(text, url) for text, url in self.complaints if not any(part in text for part in expected)]
        assert others == [], others


def paste(page, text):
    """As Ctrl V does with this text in the clipboard."""
    page.evaluate(
        """(text) => {
            const clipboardData = new DataTransfer();
            clipboardData.setData('text/plain', text);
            document.activeElement.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
        }""",
        text,
    )


def until(page, expression):
    """Waits until something is so in the page, whose policy forbids Playwright's own way."""
    end = time.time() + PATIENCE_MS / 1000
    while not page.evaluate(expression):
        assert time.time() < end, f"never: {expression}"
        page.wait_for_timeout(20)
