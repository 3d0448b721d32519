"""The button of a row mends what holds its job up."""

import re
import urllib.parse

from playwright.sync_api import expect

from rig import Rig


def space(browser, given):
    """A full disk: a finished file on it is deleted, and the job that waits goes on by itself."""
    rig = Rig(browser, given)
    page = rig.enter()
    row = rig.row("new.bin")
    expect(row.locator(".words")).to_have_text(re.compile(r"^waiting for space on the disk: [23]\.\d\d MB more in \S+/full$"))
    # One button to try now, and none that says it otherwise.
    row.locator(".name").click()
    drawer = page.locator("#drawer")
    expect(drawer.get_by_role("button", name="Free space…")).to_be_visible()
    expect(drawer.get_by_role("button", name="Try now")).to_be_visible()
    expect(drawer.get_by_role("button", name="Resume")).to_be_hidden()
    page.keyboard.press("Escape")
    row.get_by_role("button", name="Free space…").click()
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("bytes are missing")
    # Not what lies on another disk.
    expect(dialog.locator(".files li")).to_have_count(1)
    delete = dialog.get_by_role("button", name="Delete with files")
    expect(delete).to_be_disabled()
    dialog.get_by_label("old.bin").check()
    expect(dialog).to_contain_text("frees 10.5 MB")
    delete.click()
    expect(dialog).to_have_count(0)
    rig.toast("deleted old.bin with its file")
    expect(rig.row("old.bin")).to_have_count(0)
    expect(row).to_have_attribute("data-state", "completed")
    expect(row.locator(".fix")).to_be_hidden()
    rig.assert_clean()


def host(browser, given):
    """A server that is left alone: what may be used of it is changed, and then it is tried at once."""
    rig = Rig(browser, given)
    page = rig.enter()
    row = rig.row("a.iso")
    expect(row).to_have_attribute("data-state", "waiting")
    row.get_by_role("button", name="Server…").click()
    dialog = page.locator("dialog")
    expect(dialog.locator("h2")).to_have_text(given["host"])
    expect(dialog).to_contain_text("left alone until")
    expect(dialog).to_contain_text("last fault")
    dialog.get_by_label("Bandwidth limit").fill("much")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator(".error")).to_contain_text("such as 2MB")
    expect(dialog.get_by_label("Bandwidth limit")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Bandwidth limit").fill("")
    dialog.get_by_label("Connections at most").fill("2")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    known = rig.call("GET", "/v1/hosts/" + urllib.parse.quote(given["host"], safe=""))
    assert known["connections"]["max"] == 2, known
    # Again, by the key.
    page.keyboard.press("j")
    page.keyboard.press("f")
    expect(dialog.get_by_label("Connections at most")).to_have_value("2")
    dialog.get_by_role("button", name="Try now").click()
    rig.toast("try now")
    expect(dialog).to_have_count(0)
    expect(row).to_have_attribute("data-state", "completed")
    rig.assert_clean()


def mend(browser, given):
    """A row for each thing that can be wrong, and its button."""
    rig = Rig(browser, given)
    page = rig.enter()
    dialog = page.locator("dialog")

    def button(name, text):
        row = rig.row(name)
        fix = row.locator(".fix")
        expect(fix).to_have_text(text)
        # It is the only one of its kind, in the row and beside it.
        row.locator(".name").click()
        expect(page.locator("#drawer h2")).to_have_text(name)
        expect(page.locator("#drawer .acts button").filter(has_text=text).filter(visible=True)).to_have_count(1)
        page.keyboard.press("Escape")
        expect(page.locator("#drawer")).to_be_hidden()
        fix.click()
        return row

    row = button("taken.bin", "Rename")
    expect(dialog).to_contain_text("taken.bin")
    dialog.get_by_label("New name").fill("free.bin")
    dialog.get_by_role("button", name="Rename").click()
    expect(dialog).to_have_count(0)
    expect(rig.row("free.bin")).to_have_attribute("data-state", "completed")

    row = button("changed.bin", "Start over")
    expect(row).to_have_attribute("data-state", "completed")

    row = rig.row("damaged.bin")
    expect(row.locator(".words")).to_contain_text("the file is damaged")
    button("damaged.bin", "Repair")
    expect(row.locator(".words")).to_contain_text("completed")
    expect(row.locator(".fix")).to_be_hidden()

    row = button("unproved.bin", "Retry")
    expect(row).to_have_attribute("data-state", "completed")

    row = button("closed.bin", "Start anyway…")
    expect(dialog).to_contain_text("“closed”")
    dialog.get_by_role("button", name="Start without the label").click()
    expect(dialog).to_have_count(0)
    expect(row).to_have_attribute("data-state", "completed")

    row = rig.row("later.bin")
    expect(row.locator(".words")).to_contain_text("next try in")
    button("later.bin", "Try now")
    expect(row).to_have_attribute("data-state", "completed")
    expect(page.locator('[data-chip="waiting"]')).to_be_hidden()
    expect(page.locator('[data-chip="failed"]')).to_be_hidden()
    rig.assert_clean()


SCENARIOS = [space, host, mend]
