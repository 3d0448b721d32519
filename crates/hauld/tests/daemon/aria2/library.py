"""aria2p, a client library for aria2, does with hauld what it does with aria2.
usage: library.py PORT SECRET BASE
BASE serves a.bin to f.bin slowly, small.bin at once, and has no missing.bin."""
import sys
import time

import aria2p

port, secret, base = int(sys.argv[1]), sys.argv[2], sys.argv[3]
client = aria2p.Client(host="http://127.0.0.1", port=port, secret=secret, timeout=20)
api = aria2p.API(client)
failures = []


def check(name, good, got=None):
    if not good:
        failures.append(name)
        print("FAIL", name, "->", repr(got)[:500])


def until(name, look, seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    check(name, False, "not in time")
    return None


def status(download):
    return api.get_download(download.gid).status


def gids(downloads):
    return [download.gid for download in downloads]


version = client.get_version()
check("version", "haul" in version["enabledFeatures"], version)

# Add, one and many.
first = api.add_uris([base + "a.bin"], options={"header": ["Cookie: sid=secret-cookie", "X-Page: 1"], "referer": "http://p/"})
until("it is at work", lambda: status(first) == "active")
many = [api.add_uris([base + name], options={"pause": "true", "gid": gid})
        for name, gid in (("b.bin", "00000000000000b1"), ("c.bin", "00000000000000c1"), ("d.bin", "00000000000000d1"))]
check("chosen names are kept", gids(many) == ["00000000000000b1", "00000000000000c1", "00000000000000d1"], many)
answers = client.batch_call([("aria2.addUri", [[base + "e.bin"], {"pause": "true"}], "e"), ("aria2.addUri", [[base + "f.bin"], {"pause": "true"}], "f")])
many += [api.get_download(gid) for gid in answers]
check("a batch adds two", len(many) == 5 and all(download.status == "paused" for download in many), many)
try:
    api.add_uris([base + "b.bin"], options={"gid": "00000000000000b1"})
    check("a name is given once", False)
except aria2p.ClientException as error:
    check("a name is given once", "not unique" in str(error), str(error))

# Look.
listed = api.get_downloads()
check("all are listed", sorted(gids(listed)) == sorted([first.gid] + gids(many)), gids(listed))
until("its name is known", lambda: api.get_download(first.gid).name == "a.bin")
live = until("it grows", lambda: (lambda d: d if d.completed_length > 0 and d.total_length > d.completed_length else None)(api.get_download(first.gid)))
check("its numbers are numbers", live and live.num_pieces > 0 and live.piece_length > 0 and live.download_speed >= 0, live)
check("its file is where it will be", live and str(live.files[0].path).endswith("/a.bin"), live and live.files)
stats = api.get_stats()
check("totals", stats.num_active == 1 and stats.num_waiting == 5, vars(stats))
check("servers", client.get_servers(first.gid)[0]["servers"][0]["uri"] == base + "a.bin", client.get_servers(first.gid))

# Pause and resume.
check("pause", api.pause([first]) == [True])
until("it rests", lambda: status(first) == "paused")
check("resume", api.resume([first]) == [True])
until("it goes on", lambda: status(first) == "active")
check("pause all", api.pause_all())
until("all rest", lambda: all(download.status == "paused" for download in api.get_downloads()))

# Move. All wait now, in the order in which they came.
everything = [first] + many
order = lambda: [item["gid"] for item in client.tell_waiting(0, 100, ["gid"])]
check("the order is that of coming", order() == gids(everything), order())
check("to the top", api.move_to_top(many[4]) == 0, order())
check("it is the first", order() == [many[4].gid] + gids(everything[:5]), order())
check("down", api.move_down(many[4], 2) == 2 and order()[2] == many[4].gid, order())
check("up", api.move_up(many[4]) == 1 and order()[1] == many[4].gid, order())
check("to the bottom", api.move_to_bottom(many[4]) == 5 and order() == gids(everything), order())
check("to a place", api.move_to(many[4], 3) == 3 and order()[3] == many[4].gid, order())

# Options.
options = api.get_options([first])[0]
check("the header is shown without its secrets", "secret" not in options.header.replace("haul-secret", "") and "X-Page" in options.header, options.header)
check("set options", api.set_options({"max-download-limit": "100K"}, [first]) == [True])
check("and see them", api.get_options([first])[0].max_download_limit == 102400, api.get_options([first])[0].max_download_limit)
check("set global options", api.set_global_options({"max-concurrent-downloads": "3"}))
check("and see them", api.get_global_options().max_concurrent_downloads == 3)
api.set_options({"max-download-limit": "0"}, [first])

# Remove: what waits goes without a trace, what is at work is told of.
check("remove one that waits", api.remove([many[4]]) == [True])
check("it is gone", many[4].gid not in gids(api.get_downloads()))
check("resume", api.resume([first]) == [True])
until("it goes on", lambda: status(first) == "active")
check("remove one at work", api.remove([first], force=True, clean=False) == [True])
check("remove leaves nothing behind", first.gid not in gids(api.get_downloads()), gids(api.get_downloads()))

# The end of a job, a failed one, and once more.
small = api.add_uris([base + "small.bin"])
until("it is complete", lambda: status(small) == "complete")
missing = api.add_uris([base + "missing.bin"], options={"header": ["Cookie: sid=secret-cookie"]})
until("it has failed", lambda: status(missing) == "error")
failed = api.get_download(missing.gid)
check("it says why", failed.error_code == "3" and "404" in failed.error_message, (failed.error_code, failed.error_message))
check("retry", api.retry_downloads([failed]) == [True])
check("it is a new one", missing.gid not in gids(api.get_downloads()), gids(api.get_downloads()))
until("it has failed again", lambda: any(download.status == "error" for download in api.get_downloads()))
stopped = client.tell_stopped(0, 100, ["gid", "status"])
check("those that ended, the oldest first", [item["status"] for item in stopped] == ["complete", "error"], stopped)
check("and backwards", client.tell_stopped(-1, 100, ["gid", "status"]) == stopped[::-1])

# Purge.
check("purge", api.purge())
check("only what waits is left", sorted(gids(api.get_downloads())) == sorted(gids(many[:4])), gids(api.get_downloads()))
check("several calls in one", len(client.multicall2([(method, []) for method in ("aria2.getVersion", "aria2.getGlobalStat")])) == 2)
check("remove all", api.remove_all() and api.get_downloads() == [], gids(api.get_downloads()))
sys.exit(bool(failures))
