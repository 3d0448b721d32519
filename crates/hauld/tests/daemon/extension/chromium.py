"""Drives the extension in a real Chromium, against a real daemon and a site of its own.

What fails is printed, and ends with status 1. `visited.py` has the site, and says how this is called.

Chromium shows its question for optional permissions in a window of its own, which nothing can click in a headless browser.
Where a scenario needs cookies, the manifest names as granted what it otherwise names as optional; all code is the same. A
context menu cannot be clicked either: its event is dispatched within the extension's worker.
"""

import http.server
import json
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import threading
import time
import traceback

from playwright.sync_api import Error, expect, sync_playwright

from visited import (
    DAEMON, DEADLINE_S, DOWNLOADS, EXTENSION, HOST, SCENARIO, SETTINGS, SITE, code, daemon, file, holds, jobs, page_of,
)

HERE = pathlib.Path(__file__).parent

expect.set_options(timeout=DEADLINE_S * 1000)


class Rogue(http.server.BaseHTTPRequestHandler):
    """Another program on the daemon's port: says yes to everything."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        self.server.seen.append((self.path, dict(self.headers), body))
        answer = json.dumps({"proof": "00" * 32, "id": 1, "state": "active", "token": "x", "name": "x", "jobs": []}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PATCH = do_POST


def rogue():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rogue)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Browser:
    """Chromium with the extension."""

    def __init__(self, playwright, granted):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="home-"))
        self.extension = self.home / "extension"
        shutil.copytree(EXTENSION, self.extension)
        if granted:
            manifest = self.extension / "manifest.json"
            wanted = json.loads(manifest.read_text())
            wanted["permissions"] += wanted.pop("optional_permissions")
            wanted["host_permissions"] += wanted.pop("optional_host_permissions")
            manifest.write_text(json.dumps(wanted))
        self.context = playwright.chromium.launch_persistent_context(
            self.home / "profile",
            executable_path=SETTINGS["browser"],
            headless=True,
            timeout=DEADLINE_S * 1000,
            env={**os.environ, "HOME": str(self.home)},
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                  # Otherwise Chromium asks whether what comes without TLS shall be kept.
                  f"--unsafely-treat-insecure-origin-as-secure={SITE.origin}",
                  f"--disable-extensions-except={self.extension}", f"--load-extension={self.extension}"],
        )
        self.context.set_default_timeout(DEADLINE_S * 1000)
        self.errors = []
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.context.on("console", self.told)
        worker = self.worker()
        self.id = worker.url.split("/")[2]
        self.page = self.context.new_page()
        # Downloads belong to the browser, as with a user, and not to whoever drives it.
        session = self.context.new_cdp_session(self.page)
        session.send("Browser.setDownloadBehavior", {"behavior": "default"})
        self.popup = self.open("popup.html")
        self.popup.evaluate("address => chrome.storage.local.set({ settings: { address } })", DAEMON)

    def told(self, message):
        # That a request was refused, or not answered, is the browser's own to say.
        is_ours = message.location["url"].startswith("chrome-extension://")
        if message.type == "error" and is_ours and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def worker(self):
        workers = self.context.service_workers
        return workers[0] if workers else self.context.wait_for_event("serviceworker")

    def open(self, name):
        page = self.context.new_page()
        page.goto(f"chrome-extension://{self.id}/{name}", wait_until="commit")
        return page

    def pair(self):
        expect(self.popup.locator("#pairing")).to_be_visible()
        self.popup.fill("#code", code())
        self.popup.click("#pairing button")
        expect(self.popup.locator("#standing")).to_contain_text("Paired as")

    def click(self, link, page="/login", **options):
        """Clicks a link on a page of the site."""
        self.page.bring_to_front()
        self.page.goto(page_of(page, {"get it": link}))
        self.page.click("a", no_wait_after=True, **options)

    def list(self):
        """The browser's own downloads."""
        return self.popup.evaluate("() => chrome.downloads.search({})")

    def saved(self, name):
        return self.home / "Downloads" / name

    def end(self):
        self.context.close()
        shutil.rmtree(self.home, ignore_errors=True)


def until(what, look):
    """Waits until it is so, while the browser goes on."""
    ends = time.monotonic() + DEADLINE_S
    while not (found := look()):
        assert time.monotonic() < ends, f"not within {DEADLINE_S} s: {what}"
        BROWSER.popup.wait_for_timeout(50)
    return found


def taken_over(name, size=3_000_000):
    """Waits until haul has the file, and the browser nothing of it."""
    until(f"haul has {name}", lambda: holds(DOWNLOADS / name, name, size))
    assert not BROWSER.saved(name).exists(), f"the browser has saved {name}, too"
    until(f"{name} is off the browser's list", lambda: not any(name in item["url"] for item in BROWSER.list()))


def stayed(name, why, size=3_000_000):
    """Waits until the browser has the file, and the popup tells why."""
    until(f"the browser has {name}", lambda: holds(BROWSER.saved(name), name, size))
    until(f"{name} is complete", lambda: [i["state"] for i in BROWSER.list() if name in i["url"]] == ["complete"])
    assert not (DOWNLOADS / name).exists(), f"haul has saved {name}, too"
    expect(BROWSER.popup.locator("#last-text")).to_contain_text(f"{name} stays in the browser")
    expect(BROWSER.popup.locator("#last-text")).to_contain_text(why)


def set_option(options, field, value):
    """Sets an option as a user does, and waits until it counts."""
    options.fill(field, value)
    options.locator(field).blur()
    read = "() => chrome.storage.local.get('settings').then(({settings}) => JSON.stringify(settings ?? {}))"
    before = value.split("\n")[0].replace("http://", "")
    wanted = str(round(float(value) * 1e6)) if field == "#minBytes" else before
    until(f"{field} is {value}", lambda: wanted in options.evaluate(read))


def dispatch(info):
    """What a click in a context menu does, on the tab with the site's page."""
    script = """async ([info, url]) => {
      const tab = (await chrome.tabs.query({})).find((tab) => tab.url === url);
      chrome.contextMenus.onClicked.dispatch({ pageUrl: url, ...info }, tab);
    }"""
    BROWSER.worker().evaluate(script, [info, BROWSER.page.url])


def take_over():
    popup = BROWSER.popup
    popup.fill("#code", "WRONG-CODE")
    popup.click("#pairing button")
    expect(popup.locator("#trouble")).to_contain_text("haul pair")
    BROWSER.pair()
    expect(popup.locator("#pairing")).to_be_hidden()
    expect(popup.locator("#logins")).to_be_hidden()

    BROWSER.click(file("clicked.bin", login=1))
    taken_over("clicked.bin")
    own, *hauls = SITE.of("clicked.bin")
    assert hauls, "haul has made a request of its own"
    for request in hauls:
        assert "session=s3cret" in request["headers"]["cookie"], request
        assert request["headers"]["user-agent"] == own["headers"]["user-agent"], request
        assert request["headers"]["referer"] == own["headers"]["referer"], request
    [job] = jobs()
    assert job["filename"] == "clicked.bin" and job["verification"] == "validator", job
    expect(popup.locator("#last-text")).to_have_text("clicked.bin was handed to haul.")
    expect(popup.locator(".job .name")).to_have_text("clicked.bin")
    expect(popup.locator(".job .state")).to_contain_text("complete")

    # The page of a job is kept while it is not complete; pausing and going on by the popup.
    BROWSER.click(file("slow.bin", size=20_000_000, login=1, slow=1, plain=1), page="/shop?order=5")
    row = popup.locator(".job", has_text="slow.bin")
    expect(row.locator(".state")).to_contain_text("20.0 MB")
    assert jobs()[0]["page_url"] == f"{SITE.origin}/shop?order=5", jobs()[0]
    row.get_by_role("button", name="Pause").click()
    until("it is paused", lambda: jobs()[0]["state"] == "paused")
    row.get_by_role("button", name="Resume").click()
    until("it goes on", lambda: jobs()[0]["state"] != "paused")
    popup.click("#give-back")
    until("the browser has it", lambda: holds(BROWSER.saved("slow.bin"), "slow.bin", 20_000_000))
    assert jobs()[0]["state"] == "canceled", jobs()[0]

    # The menus. What they do is started by their event; nobody can click them here.
    BROWSER.page.goto(page_of("/list", {
        "first": file("link.bin", login=1), "second": file("b.zip", login=1), "third": file("c.zip", login=1),
    }))
    dispatch({"menuItemId": "link", "linkUrl": file("link.bin", login=1)})
    taken_over("link.bin")
    assert SITE.of("link.bin")[0]["headers"]["referer"] == BROWSER.page.url
    dispatch({"menuItemId": "media", "srcUrl": file("media.bin", login=1), "mediaType": "image"})
    taken_over("media.bin")
    BROWSER.page.evaluate("() => getSelection().selectAllChildren(document.querySelectorAll('p')[1])")
    text = f"second, and {file('text.bin', login=1)}."
    dispatch({"menuItemId": "selection", "selectionText": text})
    taken_over("b.zip")
    taken_over("text.bin")
    with BROWSER.context.expect_page() as opened:
        dispatch({"menuItemId": "page"})
    links = opened.value
    expect(links.locator("#list li")).to_have_count(3)
    links.fill("#filter", "third")
    expect(links.locator("#list li")).to_have_count(1)
    links.fill("#filter", "")
    links.select_option("#type", "zip")
    expect(links.locator("#list li")).to_have_count(2)
    links.select_option("#type", "")
    links.get_by_label("third").check()
    links.click("#download")
    expect(links.locator("#told")).to_have_text("haul has taken 1 of 1.")
    taken_over("c.zip")

    # A daemon that has forgotten this browser.
    popup.click("#unpair")
    expect(popup.locator("#pairing")).to_be_visible()
    BROWSER.click(file("unpaired.bin"))
    until("the browser has it", lambda: holds(BROWSER.saved("unpaired.bin"), "unpaired.bin"))
    BROWSER.pair()


def browser_keeps():
    popup = BROWSER.popup
    BROWSER.pair()
    expect(popup.locator("#logins")).to_be_visible()
    # Behind a login haul gets a page in the place of the file: without cookies it is the browser's.
    BROWSER.click(file("login.bin", login=1))
    stayed("login.bin", "haul could not fetch it")
    # A link that is good once: the browser has used it.
    BROWSER.click(file("once.bin", once=1))
    stayed("once.bin", "410")
    # Refused for itself: the URL is longer than haul takes.
    BROWSER.click(file("long.bin", pad="x" * 33_000))
    stayed("long.bin", "32 KiB")
    assert [job["state"] for job in jobs()] == ["canceled", "canceled"], jobs()

    BROWSER.click(file("good.bin"))
    taken_over("good.bin")
    [token] = daemon("GET", "/v1/tokens")["tokens"]
    daemon("DELETE", f"/v1/tokens/{token['id']}")
    BROWSER.click(file("revoked.bin"))
    stayed("revoked.bin", "does not know this pairing any more")
    expect(popup.locator("#standing")).to_contain_text("does not know this pairing any more")
    BROWSER.pair()

    options = BROWSER.open("options.html")
    options.fill("#address", "evil.test:80")
    options.click("#test")
    expect(options.locator("#address-error")).to_be_visible()
    set_option(options, "#address", "127.0.0.1:9")
    options.click("#test")
    expect(options.locator("#tested")).to_contain_text("haul does not answer at 127.0.0.1:9")
    BROWSER.click(file("down.bin"))
    stayed("down.bin", "haul does not answer")
    # One that takes the connection and never answers.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        set_option(options, "#address", f"127.0.0.1:{mute.getsockname()[1]}")
        BROWSER.click(file("mute.bin"))
        stayed("mute.bin", "haul does not answer in time")


def impostor():
    popup = BROWSER.popup
    server = rogue()
    options = BROWSER.open("options.html")
    set_option(options, "#address", f"127.0.0.1:{server.server_port}")
    secret = code()
    popup.fill("#code", secret)
    popup.click("#pairing button")
    expect(popup.locator("#trouble")).to_contain_text("not haul")
    set_option(options, "#address", DAEMON)
    BROWSER.pair()
    stored = popup.evaluate("() => chrome.storage.local.get('pairing').then(({pairing}) => pairing.token)")
    set_option(options, "#address", f"127.0.0.1:{server.server_port}")
    options.click("#test")
    expect(options.locator("#tested")).to_contain_text("is not the haul that this browser is paired with")
    BROWSER.click(file("secret.bin", login=1, canary="query"))
    stayed("secret.bin", "is not the haul that this browser is paired with")
    assert server.seen, "the other program was asked to prove itself"
    for path, headers, body in server.seen:
        assert path in ("/v1/prove", "/readyz"), path
        told = json.dumps([path, headers, body])
        for word in (stored, secret, secret.replace("-", ""), "s3cret", "canary", HOST):
            assert word not in told, f"{word} was told to another program: {told}"
    assert jobs() == [], jobs()
    set_option(options, "#address", DAEMON)
    options.click("#test")
    expect(options.locator("#tested")).to_contain_text("has proved itself")


def renew():
    BROWSER.pair()
    BROWSER.click(file("film.bin", size=8_000_000, sig=1), page="/shop?order=5")
    until("some of it has come", lambda: jobs() and jobs()[0]["done_bytes"] > 500_000)
    # From now on the old link is refused, and its page has a new one.
    SITE.expired.set()
    row = BROWSER.popup.locator(".job", has_text="film.bin")
    expect(row.locator(".state")).to_contain_text("needs a new link")
    [job] = jobs()
    assert job["waiting_for"] == "link" and job["done_bytes"] > 0, job
    page_of("/shop", {"get it": file("film.bin", size=8_000_000, sig=2)})
    with BROWSER.context.expect_page() as opened:
        row.get_by_role("button", name="Renew").click()
    expect(opened.value).to_have_url(f"{SITE.origin}/shop?order=5")
    expect(BROWSER.popup.locator("#renewing-text")).to_contain_text("goes on with film.bin")
    before = len(SITE.of("film.bin"))
    opened.value.bring_to_front()
    opened.value.click("a", no_wait_after=True)
    taken_over("film.bin", 8_000_000)
    [same] = jobs()
    assert same["id"] == job["id"] and same["state"] == "completed", same
    after = [request for request in SITE.of("film.bin")[before:] if request["query"]["sig"] == "2"]
    assert after, "nothing came by the new link"
    expect(BROWSER.popup.locator("#renewing")).to_be_hidden()
    expect(BROWSER.popup.locator("#last-text")).to_have_text("film.bin goes on with its new link.")
    # The next download from there is an ordinary one.
    opened.value.goto(page_of("/shop", {"get it": file("next.bin")}))
    opened.value.click("a", no_wait_after=True)
    taken_over("next.bin")
    assert len(jobs()) == 2


def rules():
    failures = BROWSER.popup.evaluate((HERE / "pure.js").read_text().split("\n", 1)[1])
    assert failures == [], "\n".join(failures)
    BROWSER.pair()
    BROWSER.click(file("small.bin", size=900_000))
    stayed("small.bin", "smaller than the least size", 900_000)
    options = BROWSER.open("options.html")
    set_option(options, "#minBytes", "0.5")
    BROWSER.click(file("now.bin", size=900_000))
    taken_over("now.bin", 900_000)
    set_option(options, "#neverTypes", "pdf")
    BROWSER.click(file("a.pdf"))
    stayed("a.pdf", "this ending")
    BROWSER.click(file("page.bin", type="text/html"))
    stayed("page.bin", "this kind")
    set_option(options, "#neverSites", HOST)
    BROWSER.click(file("site.bin"))
    stayed("site.bin", "this site")
    set_option(options, "#neverSites", "other.test")
    BROWSER.click(file("key.bin"), modifiers=["Alt"])
    stayed("key.bin", "the key")
    BROWSER.page.evaluate("""() => {
      const blob = new Blob([new Uint8Array(3_000_000)]);
      const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: 'made.bin' });
      link.click();
    }""")
    until("the browser has it", lambda: BROWSER.saved("made.bin").is_file())
    BROWSER.popup.uncheck("#enabled")
    until("it is off", lambda: not BROWSER.popup.evaluate("() => chrome.storage.local.get('settings')")["settings"]["enabled"])
    BROWSER.click(file("off.bin"))
    until("the browser has it", lambda: holds(BROWSER.saved("off.bin"), "off.bin"))
    assert len(jobs()) == 1, jobs()


SCENARIOS = {
    "take-over": (take_over, True),
    "browser-keeps": (browser_keeps, False),
    "impostor": (impostor, True),
    "renew": (renew, True),
    "rules": (rules, True),
}

def explain():
    """Prints what there is to know of a failure."""
    for page in BROWSER.context.pages:
        try:
            print(f"--- {page.url}\n{page.locator('body').inner_text(timeout=3000)[:1000]}")
        except Error as error:
            print(f"--- {page.url} cannot be read: {error.message[:200]}")
    print("--- downloads", json.dumps(BROWSER.list(), indent=1)[:4000])
    print("--- jobs", json.dumps(jobs(), indent=1)[:4000])
    print("--- requests", json.dumps(SITE.seen)[:4000])
    print("--- errors", BROWSER.errors)
    traceback.print_exc(file=sys.stdout)


scenario, granted = SCENARIOS[SCENARIO]
with sync_playwright() as playwright:
    BROWSER = Browser(playwright, granted)
    try:
        scenario()
        assert BROWSER.errors == [], BROWSER.errors
    except (AssertionError, Error):
        explain()
        sys.exit(1)
    finally:
        BROWSER.end()
