"""Drives the extension in a real Firefox, against a real daemon and a site of its own.

What fails is printed, and ends with status 1. `visited.py` has the site, and says how this is called.

Firefox is driven by its own protocol, Marionette: what geckodriver speaks to it, and the only one that reaches the browser's
own questions and menus. The extension is loaded as `about:debugging` loads it, and permissions are given as a user gives
them, by the button of Firefox's question.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback

from visited import (
    DAEMON, DEADLINE_S, DOWNLOADS, EXTENSION, SCENARIO, SETTINGS, SITE, code, daemon, file, holds, jobs, page_of,
)

# What a fresh profile would ask, show or load that has nothing to do with it.
PREFS = {
    "marionette.port": 0,
    "browser.download.folderList": 2,
    "browser.download.useDownloadDir": True,
    "browser.download.always_ask_before_handling_new_types": False,
    "network.manage-offline-status": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "security.notification_enable_delay": 0,
    "browser.startup.page": 0,
    "browser.startup.homepage_override.mstone": "ignore",
    "startup.homepage_welcome_url": "about:blank",
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "app.normandy.enabled": False,
    "extensions.update.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "nimbus.rollouts.enabled": False,
}


class Marionette:
    """Firefox's protocol: `LENGTH:JSON`, a command `[0, id, name, parameters]`, and its answer `[1, id, error, value]`."""

    def __init__(self, port):
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=2 * DEADLINE_S).makefile("rwb")
        self.last = 0
        self.read()
        self("WebDriver:NewSession")

    def read(self):
        length = b""
        while not length.endswith(b":"):
            byte = self.stream.read(1)
            assert byte, "Firefox has hung up"
            length += byte
        return json.loads(self.stream.read(int(length[:-1])))

    def __call__(self, name, **parameters):
        self.last += 1
        command = json.dumps([0, self.last, name, parameters]).encode()
        self.stream.write(b"%d:%b" % (len(command), command))
        self.stream.flush()
        _, number, error, value = self.read()
        assert number == self.last and error is None, f"{name} {parameters}: {error}"
        return value.get("value", value) if isinstance(value, dict) else value


class Browser:
    """Firefox with the extension. The popup is looked at as a page of its own, in a tab."""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="home-"))
        self.downloads = self.home / "Downloads"
        self.downloads.mkdir()
        profile = self.home / "profile"
        profile.mkdir()
        prefs = {**PREFS, "browser.download.dir": str(self.downloads)}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in prefs.items()]
        (profile / "user.js").write_text("".join(lines))
        self.log = open(self.home / "log", "wb")
        self.process = subprocess.Popen(
            [SETTINGS["browser"], "--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", profile],
            env={**os.environ, "HOME": str(self.home)}, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )

    def begin(self):
        """Waits for Firefox, and installs the extension."""
        port = self.home / "profile" / "MarionetteActivePort"
        until("Firefox listens", lambda: port.is_file() and port.read_text().strip())
        self.ask = Marionette(int(port.read_text()))
        self.id = self.ask("Addon:Install", path=str(EXTENSION), temporary=True)
        self.origin = "moz-extension://" + self.chrome("return WebExtensionPolicy.getByID(arguments[0]).mozExtensionHostname", self.id)
        self.site = self.ask("WebDriver:GetWindowHandle")
        self.popup = self.open("popup.html")
        self.run("address => chrome.storage.local.set({ settings: { address } })", DAEMON)

    def chrome(self, script, *arguments):
        """Runs a script as a part of the browser."""
        self.ask("Marionette:SetContext", value="chrome")
        try:
            return self.ask("WebDriver:ExecuteScript", script=script, args=arguments)
        finally:
            self.ask("Marionette:SetContext", value="content")

    def open(self, name):
        """Opens a page of the extension in a new tab."""
        tab = self.ask("WebDriver:NewWindow", type="tab", focus=True)["handle"]
        self.to(tab)
        self.ask("WebDriver:Navigate", url=f"{self.origin}/{name}")
        return tab

    def to(self, tab):
        self.ask("WebDriver:SwitchToWindow", handle=tab, focus=True)

    def run(self, function, *arguments):
        """Runs a function within the page."""
        return self.ask("WebDriver:ExecuteScript", script=f"return ({function})(...arguments)", args=arguments, sandbox=None)

    def find(self, selector):
        found = self.ask("WebDriver:FindElement", using="css selector", value=selector)
        return next(iter(found.values()))

    def press(self, selector):
        self.ask("WebDriver:ElementClick", id=self.find(selector))

    def fill(self, selector, text):
        element = self.find(selector)
        self.ask("WebDriver:ElementClear", id=element)
        self.ask("WebDriver:ElementSendKeys", id=element, text=text)

    def text(self, selector):
        """What can be read there; empty where it is not shown."""
        return self.ask("WebDriver:GetElementText", id=self.find(selector))

    def shown(self, selector):
        return self.ask("WebDriver:IsElementDisplayed", id=self.find(selector))

    def reads(self, selector, words):
        until(f"{selector} reads {words!r}", lambda: words in self.text(selector), lambda: self.text("body"))

    def agree(self):
        """Presses the button of the question that Firefox asks about permissions."""
        press = """
          const question = PopupNotifications.getNotification('addon-webext-permissions');
          const shown = PopupNotifications.panel.firstElementChild;
          if (!question || !shown?.button) return false;
          shown.button.click();
          return true;"""
        until("Firefox asks", lambda: self.chrome(press))

    def click(self, link, button=0):
        """Clicks a link on a page of the site, and goes back to the popup."""
        self.to(self.site)
        self.ask("WebDriver:Navigate", url=page_of("/login", {"get it": link}))
        # Not `ElementClick`, which would wait for another page.
        there = {"element-6066-11e4-a52e-4f735466cecf": self.find("a")}
        mouse = [{"type": "pointerMove", "x": 0, "y": 0, "origin": there}]
        mouse += [{"type": f"pointer{way}", "button": button} for way in ("Down", "Up")]
        self.ask("WebDriver:PerformActions", actions=[{"type": "pointer", "id": "mouse", "actions": mouse}])
        if button == 0:
            self.to(self.popup)

    def choose(self, label):
        """Chooses an item of the context menu that is open, and goes back to the popup."""
        choose = """
          const menu = document.getElementById('contentAreaContextMenu');
          const item = [...menu.querySelectorAll('menuitem')].find((it) => it.label === arguments[0]);
          if (menu.state !== 'open' || !item) return false;
          menu.activateItem(item);
          return true;"""
        until(f"the menu has {label!r}", lambda: self.chrome(choose, label))
        self.to(self.popup)

    def list(self):
        """The browser's own downloads."""
        return self.run("() => chrome.downloads.search({})")

    def errors(self):
        """What the extension has reported to the browser's console."""
        return self.chrome("""return Services.console.getMessageArray()
          .filter((it) => it instanceof Ci.nsIScriptError && it.sourceName.startsWith('moz-extension:'))
          .filter((it) => !(it.flags & Ci.nsIScriptError.warningFlag)).map(String)""")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)


def until(what, look, explain=lambda: ""):
    """Waits until it is so."""
    ends = time.monotonic() + DEADLINE_S
    while not (found := look()):
        assert time.monotonic() < ends, f"not within {DEADLINE_S} s: {what}\n{explain()}"
        time.sleep(0.05)
    return found


def taken_over(name, size=3_000_000):
    """Waits until haul has the file, and the browser nothing of it."""
    until(f"haul has {name}", lambda: holds(DOWNLOADS / name, name, size))
    until(f"{name} is off the browser's list", lambda: not any(name in item["url"] for item in BROWSER.list()))
    until(f"nothing is left of {name}", lambda: not list(BROWSER.downloads.glob(f"{name.split('.')[0]}*")))
    BROWSER.reads("#last-text", f"{name} was handed to haul.")


def stayed(name, why, size=3_000_000):
    """Waits until the browser has the file, and the popup tells why."""
    until(f"the browser has {name}", lambda: holds(BROWSER.downloads / name, name, size))
    until(f"{name} is complete", lambda: [i["state"] for i in BROWSER.list() if name in i["url"]] == ["complete"])
    assert not (DOWNLOADS / name).exists(), f"haul has saved {name}, too"
    BROWSER.reads("#last-text", f"{name} stays in the browser: ")
    BROWSER.reads("#last-text", why)


def cookies(request):
    return set(request["headers"]["cookie"].split("; "))


def pair():
    until("it is not paired", lambda: BROWSER.shown("#pairing"))
    BROWSER.fill("#code", code())
    BROWSER.press("#pairing button")
    BROWSER.reads("#standing", "Paired as “Firefox on Linux”")


def take_over():
    popup = BROWSER.popup
    # A user can take the permission back that is given with the installation. Both pages say so, and help.
    ways = ["http://127.0.0.1/*", "http://localhost/*"]
    assert BROWSER.run("origins => chrome.permissions.remove({ origins })", ways), "it can be taken back"
    BROWSER.reads("#standing", "The browser does not let this extension talk to haul")
    # A request that was under way when it was taken back may still be answered.
    until("the popup offers to ask", lambda: BROWSER.shown("#forbidden") and not BROWSER.shown("#pairing"))
    options = BROWSER.open("options.html")
    BROWSER.reads("#forbidden", "Until you allow it, everything stays in the browser")
    BROWSER.press("#test")
    BROWSER.reads("#tested", "The browser does not let this extension talk to haul")
    BROWSER.press("#allow-daemon")
    BROWSER.agree()
    until("it is allowed", lambda: not BROWSER.shown("#forbidden"))
    BROWSER.press("#test")
    BROWSER.reads("#tested", "haul answers. Pair this browser")
    BROWSER.ask("WebDriver:CloseWindow")
    BROWSER.to(popup)
    pair()

    BROWSER.press("#allow")
    BROWSER.agree()
    until("cookies are allowed", lambda: not BROWSER.shown("#logins"))
    BROWSER.click(file("clicked.bin", login=1, slow=1))
    taken_over("clicked.bin")
    own, *hauls = SITE.of("clicked.bin")
    assert hauls, "haul has made a request of its own"
    for request in hauls:
        assert cookies(request) == cookies(own) == {"session=s3cret", "seen=1"}, request
        for name in ("referer", "user-agent"):
            assert request["headers"][name] == own["headers"][name], request
    [job] = jobs()
    assert job["state"] == "completed" and job["verification"] == "validator", job

    BROWSER.click(file("menu.bin", login=1, slow=1), button=2)
    BROWSER.choose("Download link with haul")
    until("haul has menu.bin", lambda: holds(DOWNLOADS / "menu.bin", "menu.bin"))
    assert all(cookies(request) == cookies(own) for request in SITE.of("menu.bin")), SITE.of("menu.bin")

    BROWSER.click(file("back.bin", size=5_000_000, login=1, slow=1, plain=1))
    BROWSER.reads("#last-text", "back.bin was handed to haul.")
    BROWSER.press("#give-back")
    until("the browser has it", lambda: holds(BROWSER.downloads / "back.bin", "back.bin", 5_000_000))
    assert jobs()[0]["state"] == "canceled", jobs()[0]


def browser_keeps():
    pair()
    # Firefox tells how large a download is only after it has begun.
    BROWSER.click(file("small.bin", size=900_000, slow=1))
    stayed("small.bin", "smaller than the least size", 900_000)
    # Without cookies haul gets a page in the place of the file.
    BROWSER.click(file("login.bin", login=1, slow=1))
    stayed("login.bin", "haul could not fetch it")
    # A link that is good once, from a server that gives no ranges: held by its pause, the browser would have lost it.
    BROWSER.click(file("once.bin", once=1, plain=1, slow=1))
    stayed("once.bin", "410")
    assert [job["state"] for job in jobs()] == ["canceled", "canceled"], jobs()
    BROWSER.click(file("good.bin", slow=1))
    taken_over("good.bin")

    BROWSER.run("address => chrome.storage.local.set({ settings: { address } })", "http://127.0.0.1:9")
    BROWSER.click(file("down.bin", slow=1))
    stayed("down.bin", "haul does not answer at 127.0.0.1:9")
    assert len(jobs()) == 3, jobs()


SCENARIOS = {"take-over": take_over, "browser-keeps": browser_keeps}


def explain():
    """Prints what there is to know of a failure."""
    traceback.print_exc(file=sys.stdout)
    print("--- requests", json.dumps(SITE.seen)[:4000])
    print("--- jobs", json.dumps(jobs(), indent=1)[:4000])
    for look in (lambda: BROWSER.errors(), lambda: BROWSER.text("body"), lambda: BROWSER.list()):
        try:
            print("---", look())
        except (AssertionError, AttributeError, OSError) as error:
            print("--- cannot be had:", error)
    print("--- its files", [str(path) for path in BROWSER.downloads.iterdir()])
    print("--- its log", (BROWSER.home / "log").read_text()[-4000:])


BROWSER = Browser()
try:
    BROWSER.begin()
    SCENARIOS[SCENARIO]()
    assert BROWSER.errors() == [], BROWSER.errors()
except (AssertionError, OSError):
    explain()
    sys.exit(1)
finally:
    BROWSER.end()
