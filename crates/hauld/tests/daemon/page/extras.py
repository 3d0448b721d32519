"""The menu of a row, the order of the queue, exports, notifications, and times of day."""

import json

from playwright.sync_api import expect

from rig import Rig, until


def queue(rig):
    """The names of the jobs that wait, in their order, as another client is told."""
    files = rig.call("POST", "/jsonrpc", {"id": 1, "method": "aria2.tellWaiting", "params": [0, 100, ["files"]]})["result"]
    return [one["files"][0]["uris"][0]["uri"].rsplit("/", 1)[-1] for one in files]


def menu(browser, given):
    """The menu by keys and by the mouse; jobs are moved in the queue."""
    rig = Rig(browser, given)
    page = rig.enter()
    expect(page.locator('.row[data-state="queued"]')).to_have_count(4)
    assert queue(rig) == ["a.bin", "b.bin", "c.bin", "d.bin"], queue(rig)
    menu = page.get_by_role("menu")
    # The newest one is the first row.
    page.keyboard.press("j")
    page.keyboard.press("m")
    expect(menu.get_by_role("menuitem", name="Pause")).to_be_focused()
    expect(menu.get_by_role("menuitem", name="Retry")).to_have_count(0)
    page.keyboard.press("End")
    expect(menu.get_by_role("menuitem", name="Delete with file")).to_be_focused()
    page.keyboard.press("f")
    expect(menu.get_by_role("menuitem", name="First in the queue")).to_be_focused()
    page.keyboard.press("Enter")
    rig.toast("d.bin: first in the queue")
    expect(menu).to_be_hidden()
    expect(page.locator("#list")).to_be_focused()
    assert queue(rig) == ["d.bin", "a.bin", "b.bin", "c.bin"], queue(rig)
    page.keyboard.press("m")
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    # Several keep their order.
    rig.row("c.bin").click(button="right")
    expect(menu).to_be_visible()
    expect(page.locator(".row.current .name")).to_have_text("c.bin")
    page.keyboard.press("Escape")
    for name in ("c.bin", "b.bin"):
        rig.row(name).get_by_role("checkbox").check()
    page.keyboard.press("Alt+Shift+ArrowUp")
    rig.toast("2 jobs: first in the queue")
    assert queue(rig) == ["b.bin", "c.bin", "d.bin", "a.bin"], queue(rig)
    rig.row("b.bin").click(button="right")
    expect(page.locator("#bulk")).to_contain_text("2 selected")
    menu.get_by_role("menuitem", name="Last in the queue").click()
    rig.toast("2 jobs: last in the queue")
    assert queue(rig) == ["d.bin", "a.bin", "b.bin", "c.bin"], queue(rig)
    rig.row("a.bin").click(button="right")
    expect(page.locator("#bulk")).to_be_hidden()
    menu.get_by_role("menuitem", name="Lower priority").click()
    expect(rig.row("a.bin").locator(".words")).to_contain_text("priority -1")
    assert queue(rig) == ["d.bin", "b.bin", "c.bin", "a.bin"], queue(rig)
    # A menu never hangs over the edge.
    page.set_viewport_size({"width": 420, "height": 480})
    rig.row("b.bin").click(button="right", position={"x": 300, "y": 20})
    box = menu.bounding_box()
    assert box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= 420 and box["y"] + box["height"] <= 480, box
    page.mouse.click(5, 5)
    expect(menu).to_be_hidden()
    rig.assert_clean()


def export(browser, given):
    """What is shown, or selected, is saved as JSON."""
    rig = Rig(browser, given)
    page = rig.enter()
    expect(page.locator(".row")).to_have_count(4)

    def saved(act):
        with page.expect_download() as download:
            act()
        assert download.value.suggested_filename == "haul-jobs.json", download.value.suggested_filename
        with open(download.value.path(), encoding="utf-8") as file:
            return sorted(job["url"].rsplit("/", 1)[-1] for job in json.load(file)["jobs"])

    assert saved(lambda: page.keyboard.press("e")) == ["a.bin", "b.bin", "c.bin", "d.bin"]
    page.fill("#search", "c.bin")
    expect(page.locator(".row")).to_have_count(1)
    page.keyboard.press("Enter")
    assert saved(lambda: page.keyboard.press("e")) == ["c.bin"]
    # Escape empties the search, and the list follows.
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    expect(page.locator("#search")).to_have_value("")
    expect(page.locator(".row")).to_have_count(4)
    for name in ("a.bin", "d.bin"):
        rig.row(name).get_by_role("checkbox").check()
    assert saved(lambda: page.locator("#bulk").get_by_role("button", name="Export").click()) == ["a.bin", "d.bin"]
    rig.assert_clean()


# Notes what the real things are asked for. `away`: whether somebody looks at the page.
WATCHED = """
    window.asked = 0; window.told = []; window.away = false;
    const looks = document.hasFocus.bind(document);
    document.hasFocus = () => !away && looks();
    window.Notification = class extends Notification {
        static requestPermission() { asked += 1; return super.requestPermission(); }
        constructor(title, options) { super(title, options); told.push(`${title}|${options.body}`); window.last = this; }
    };
"""


def notify(browser, given):
    """Jobs that end while nobody looks are told of, once that was asked for."""
    rig = Rig(browser, given, permissions=["notifications"])
    rig.context.add_init_script(WATCHED)
    page = rig.enter()
    bell = page.locator("#bell")
    expect(bell).to_have_attribute("aria-pressed", "false")

    def fetch(*paths):
        jobs = [{"url": given["server"] + path} for path in paths]
        return [result["job"]["id"] for result in rig.call("POST", "/v1/jobs", {"jobs": jobs})["results"]]

    def ended(ids):
        for id in ids:
            expect(page.locator(f'.row[data-id="{id}"]')).to_have_attribute("data-state", "completed")

    page.evaluate("away = true")
    ended(fetch("/a.bin"))
    assert page.evaluate("asked") == 0, "nobody has asked for it"
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("asked") == 1
    [first] = fetch("/b.bin")
    until(page, "told.length === 1")
    assert page.evaluate("told") == ["b.bin is complete|"], page.evaluate("told")
    # A click on it leads to the job.
    page.evaluate("last.dispatchEvent(new Event('click'))")
    expect(page.locator("#drawer h2")).to_have_text("b.bin")
    page.keyboard.press("Escape")
    # What ends together is told together.
    fetch("/c.bin", "/missing.bin", "/d.bin")
    until(page, "told.length === 2")
    title, names = page.evaluate("told[1]").split("|")
    assert title == "2 downloads complete, 1 failed" and sorted(names.split("\n")) == ["c.bin", "d.bin", "missing.bin"], (title, names)
    # It is kept, and says nothing to somebody who looks.
    page.reload()
    expect(bell).to_have_attribute("aria-pressed", "true")
    expect(page.locator(f'.row[data-id="{first}"]')).to_have_count(1)
    ended(fetch("/e.bin"))
    page.evaluate("away = true")
    fetch("/f.bin")
    until(page, "told.length === 1")
    assert page.evaluate("told") == ["f.bin is complete|"], page.evaluate("told")
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "false")
    rig.assert_clean()


def schedule(browser, given):
    """Times of day with limits of their own are added, changed and removed."""
    rig = Rig(browser, given)
    page = rig.enter()
    dialog = page.locator("dialog")
    windows = lambda: rig.call("GET", "/v1/settings")["bandwidth_schedule"]

    def save():
        dialog.get_by_role("button", name="Save").click()
        expect(dialog).to_have_count(0)

    page.keyboard.press("l")
    dialog.get_by_role("button", name="Add times of day").click()
    # The keys go on where they were.
    expect(dialog.get_by_label("From")).to_be_focused()
    dialog.get_by_label("From").fill("08:30")
    dialog.get_by_label("To", exact=True).fill("18:00")
    limit = dialog.get_by_label("Limit", exact=True)
    limit.fill("slow")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator(".error")).to_contain_text("such as 2MB")
    expect(limit).to_be_focused()
    expect(limit).to_have_attribute("aria-invalid", "true")
    limit.fill("500KB")
    for day in ("Sat", "Sun"):
        dialog.get_by_label(day).uncheck()
    dialog.get_by_role("button", name="Add times of day").click()
    dialog.get_by_label("From").nth(1).fill("22:00")
    dialog.get_by_label("To", exact=True).nth(1).fill("06:00")
    save()
    weekdays = {"from": "08:30", "to": "18:00", "days": ["mon", "tue", "wed", "thu", "fri"], "bandwidth_limit": 500000}
    seen = windows()
    assert seen[0] == weekdays and (seen[1]["from"], seen[1]["to"], seen[1]["bandwidth_limit"]) == ("22:00", "06:00", 0), seen
    # What is not touched stays, whoever has set it.
    whole = rig.call("PATCH", "/v1/settings", {"bandwidth_schedule": [{"from": "20:00", "to": "24:00", "bandwidth_limit": "1MB"}]})
    page.keyboard.press("l")
    expect(dialog.get_by_label("From")).to_have_value("20:00")
    expect(dialog.get_by_label("To", exact=True)).to_have_value("00:00")
    dialog.get_by_label("Jobs at a time").fill("9")
    save()
    assert windows() == whole["bandwidth_schedule"], windows()
    # A refusal of the daemon is shown where it belongs.
    page.keyboard.press("l")
    dialog.get_by_label("From").fill("00:00")
    for day in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"):
        dialog.get_by_label(day).uncheck()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator(".error")).to_contain_text("choose a day")
    dialog.get_by_role("button", name="Remove").click()
    save()
    assert windows() == [], windows()
    # The turtle rests them.
    page.keyboard.press("t")
    expect(page.locator("#turtle")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("l")
    expect(dialog).to_contain_text("once the turtle is off")
    expect(dialog.get_by_role("button", name="Add times of day")).to_have_count(0)
    page.keyboard.press("Escape")
    rig.assert_clean()


SCENARIOS = [menu, export, notify, schedule]
