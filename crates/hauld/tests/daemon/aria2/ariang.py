"""A session of AriaNg: every call that its source makes (aria2RpcService.js and those that use it), in the three forms in which
it makes them, and read as it reads them. What would pop up as an error there is one here.
usage: ariang.py PORT TOKEN BASE
BASE serves slow.bin and other.bin slowly, small.bin at once, and has no missing.bin. Calls by GET are switched on."""
import base64
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import websocket

port, token, base = int(sys.argv[1]), sys.argv[2], sys.argv[3]
failures = []

BASIC = ["gid", "totalLength", "completedLength", "uploadSpeed", "downloadSpeed", "connections", "numSeeders", "seeder", "status",
         "errorCode", "verifiedLength", "verifyIntegrityPending"]
FULL = BASIC + ["files", "bittorrent", "infoHash"]

# What its pages of settings change (aria2GlobalAvailableOptions), each with a value that they permit.
GLOBAL = {
    "log": "", "max-concurrent-downloads": "5", "check-integrity": "false", "continue": "true", "all-proxy": "", "connect-timeout": "60",
    "dry-run": "false", "lowest-speed-limit": "0", "max-connection-per-server": "8", "max-file-not-found": "0", "max-tries": "5",
    "min-split-size": "20M", "netrc-path": "", "no-netrc": "false", "no-proxy": "", "proxy-method": "get", "remote-time": "false",
    "reuse-uri": "true", "retry-wait": "0", "server-stat-of": "", "split": "8", "stream-piece-selector": "default", "timeout": "60",
    "uri-selector": "feedback", "check-certificate": "true", "http-accept-gzip": "false", "http-auth-challenge": "false",
    "http-no-cache": "false", "http-user": "", "http-passwd": "", "http-proxy": "", "https-proxy": "", "referer": "",
    "enable-http-keep-alive": "true", "enable-http-pipelining": "false", "header": "", "save-cookies": "", "use-head": "false",
    "user-agent": "", "ftp-pasv": "true", "bt-max-peers": "55", "seed-ratio": "1.0", "seed-time": "0", "follow-metalink": "true",
    "allow-overwrite": "false", "allow-piece-length-change": "false", "always-resume": "true", "auto-file-renaming": "true",
    "conditional-get": "false", "disk-cache": "16777216", "download-result": "default", "file-allocation": "prealloc",
    "force-save": "false", "save-not-found": "true", "hash-check-only": "false", "log-level": "debug", "max-download-result": "1000",
    "max-overall-download-limit": "1M", "max-overall-upload-limit": "0", "max-download-limit": "0", "max-upload-limit": "0",
    "parameterized-uri": "false", "piece-length": "1M", "save-session": "", "optimize-concurrent-downloads": "false",
    "realtime-chunk-checksum": "true", "keep-unfinished-download-result": "true", "dir": None,
}

# What it can change of a task (aria2TaskAvailableOptions), while it is at work.
TASK = {"max-download-limit": "100K", "max-upload-limit": "0", "split": "4", "min-split-size": "20M", "max-connection-per-server": "4",
        "lowest-speed-limit": "0", "stream-piece-selector": "inorder", "conditional-get": "false", "file-allocation": "none",
        "parameterized-uri": "false", "force-save": "false", "allow-overwrite": "false", "http-user": "", "http-passwd": ""}


def check(name, good, got=None):
    if not good:
        failures.append(name)
        print("FAIL", name, "->", repr(got)[:400])


class Rpc:
    """How AriaNg calls: its ids, and its answers, of which those that are false are none."""

    def __init__(self, form):
        self.form = form
        self.socket = websocket.create_connection(f"ws://127.0.0.1:{port}/jsonrpc", timeout=40) if form == "ws" else None
        self.number = 0

    def send(self, call):
        url = f"http://127.0.0.1:{port}/jsonrpc"
        if self.form == "ws":
            self.socket.send(json.dumps(call))
            while True:
                answer = json.loads(self.socket.recv())
                if answer.get("id"):
                    return answer
        if self.form == "get":
            params = urllib.parse.quote(base64.b64encode(json.dumps(call["params"]).encode()).decode(), safe="")
            request = urllib.request.Request(f"{url}?jsonrpc=2.0&method={call['method']}&id={call['id']}&params={params}")
        else:
            body = json.dumps(call).encode()
            request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json;charset=UTF-8", "Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def raw(self, method, *params):
        self.number += 1
        id = base64.b64encode(f"AriaNg_{int(time.time())}_0.{self.number}".encode()).decode()
        params = list(params) if method == "system.multicall" else [f"token:{token}", *params]
        answer = self.send({"jsonrpc": "2.0", "method": method if "." in method else f"aria2.{method}", "id": id, "params": params})
        check(f"{self.form} {method}: the id", answer["id"] == id, answer)
        return answer

    def __call__(self, method, *params):
        answer = self.raw(method, *params)
        check(f"{self.form} {method}", answer.get("result") not in (None, "", False) and "error" not in answer, answer)
        return answer.get("result")

    def several(self, *calls):
        """As `multicall` does it: each call with its own token."""
        wanted = [{"methodName": f"aria2.{method}", "params": [f"token:{token}", *params]} for method, *params in calls]
        results = self("system.multicall", wanted)
        check(f"{self.form} multicall", all(isinstance(one, list) and len(one) == 1 for one in results), results)
        return [one[0] for one in results]

    def refused(self, method, *params):
        """The text that pops up."""
        answer = self.raw(method, *params)
        check(f"{self.form} {method} is refused", answer.get("error", {}).get("code") == 1, answer)
        return answer["error"]["message"]


def until(name, look):
    end = time.time() + 30
    while not (found := look()):
        if time.time() > end:
            check(name, False)
            break
        time.sleep(0.02)
    return found


def task_of(task):
    """As `processDownloadTask` reads it: numbers in texts, a name from the path or the link."""
    numbers = ["totalLength", "completedLength", "uploadSpeed", "downloadSpeed", "connections"]
    check("numbers", all(isinstance(task[name], str) and int(task[name]) >= 0 for name in numbers), task)
    check("no torrent", not {"bittorrent", "infoHash", "seeder", "numSeeders"} & set(task), task)
    if "files" in task:
        [file] = task["files"]
        path, uris = file["path"], file["uris"]
        name = (path or uris[0]["uri"].split("?")[0]).rsplit("/", 1)[-1]
        check("a name and a link", name and uris and all(one["status"] in ("used", "waiting") for one in uris), task)
        check("a file", file["selected"] == "true" and int(file["index"]) == 1 and int(file["length"]) >= 0, task)
    return task


def session(rpc):
    # It connects, and draws its first page.
    version = rpc("getVersion")
    check("version", version["version"].count(".") == 2 and isinstance(version["enabledFeatures"], list), version)
    check("session", len(rpc("getSessionInfo")["sessionId"]) == 40)
    options = rpc("getGlobalOption")
    check("options are texts", all(isinstance(value, str) for value in options.values()), options)
    stat = rpc("getGlobalStat")
    check("totals", all(int(stat[name]) >= 0 for name in ("downloadSpeed", "uploadSpeed", "numActive", "numWaiting", "numStopped")), stat)
    check("nothing there", rpc.raw("tellActive", FULL)["result"] == [])

    # New tasks, as its form sends them: one call for each link.
    slow = rpc("addUri", [base + "slow.bin"], {"out": f"{rpc.form}.bin", "split": "2", "header": ["X-Page: 1"], "referer": "http://p/"})
    held = rpc("addUri", [base + "other.bin"], {"pause": "true"})
    other = rpc("addUri", [base + "other.bin"], {"pause": "true", "out": f"{rpc.form}-other.bin"})
    until("it is at work", lambda: rpc("tellStatus", slow)["status"] == "active" and int(rpc("tellStatus", slow)["completedLength"]) > 0)

    # Its lists: the whole of each task at first, then what changes.
    for keys in (FULL, BASIC):
        [active] = [task_of(task) for task in rpc("tellActive", keys)]
        check("at work", active["gid"] == slow and active["status"] == "active", active)
        waiting = [task_of(task) for task in rpc("tellWaiting", 0, 1000, keys)]
        check("waiting", [task["gid"] for task in waiting] == [held, other], waiting)
        check("no other keys", set(active) <= set(keys), active)

    # The page of a task: its state, its options, its files, its servers and peers.
    status, shown = rpc.several(["tellStatus", slow], ["getOption", slow])
    task_of(status)
    pieces = int(status["numPieces"])
    check("pieces", pieces == -(-int(status["totalLength"]) // int(status["pieceLength"])), status)
    check("bits", "bitfield" not in status or len(status["bitfield"]) >= pieces // 4, status)
    check("its options", shown["split"] == "2" and shown["out"] == f"{rpc.form}.bin" and all(isinstance(one, str) for one in shown.values()), shown)
    check("files", rpc("getFiles", slow)[0]["path"].endswith(f"{rpc.form}.bin"))
    check("servers", rpc("getServers", slow)[0]["servers"][0]["currentUri"] == base + "slow.bin")
    check("peers", rpc.raw("getPeers", slow)["result"] == [])
    for name, value in TASK.items():
        check(f"changeOption {name}", rpc("changeOption", slow, {name: value}) == "OK")
    check("it holds", rpc("getOption", slow)["max-download-limit"] == "102400")

    # What its buttons do.
    check("paused", rpc("forcePause", slow) == slow)
    until("it rests", lambda: rpc("tellStatus", slow, ["status"])["status"] == "paused")
    place = rpc.raw("changePosition", other, 0, "POS_SET")["result"]
    check("moved by dragging", place == 0 and rpc("tellWaiting", 0, 1000, ["gid"])[0]["gid"] == other, place)
    check("goes on", rpc("unpause", slow) == slow)
    check("all rest", rpc("pauseAll") == "OK")
    until("all rest", lambda: rpc.raw("tellActive", ["gid"])["result"] == [])
    check("all go on", rpc("unpauseAll") == "OK")
    # Who removes a task that waits is told of nothing more; one at work is told of until it is taken out of the list, too.
    until("all are at work", lambda: len(rpc.raw("tellActive", ["gid"])["result"]) == 3)
    for gid in (slow, held, other):
        check("removed", rpc("forceRemove", gid) == gid)
        until("it is told of", lambda: rpc("tellStatus", gid, ["status"])["status"] == "removed")
    stopped = [task_of(task) for task in rpc("tellStopped", -1, 1000, FULL)]
    check("the last one first", [task["gid"] for task in stopped] == [other, held, slow], stopped)
    check("not to be retried", all(task["status"] == "removed" and task["errorCode"] == "31" for task in stopped), stopped)
    check("out of the list", rpc("removeDownloadResult", slow) == "OK")

    # One that is complete, and one that fails and is tried again by what was told of it.
    small = rpc("addUri", [base + "small.bin"], {"out": f"{rpc.form}-small.bin"})
    until("it is complete", lambda: rpc("tellStatus", small, ["status"])["status"] == "complete")
    missing = rpc("addUri", [base + "missing.bin"], {"header": ["Cookie: a=b"], "out": f"{rpc.form}-missing.bin"})
    until("it has failed", lambda: rpc("tellStatus", missing, ["status"])["status"] == "error")
    task, shown = rpc.several(["tellStatus", missing], ["getOption", missing])
    check("can be retried", task["errorCode"] == "3" and "404" in task["errorMessage"], task)
    again = rpc("addUri", [one["uri"] for one in task["files"][0]["uris"]], shown)
    check("another one", again != missing)
    check("and the failed one goes", rpc("removeDownloadResult", missing) == "OK")
    until("it has failed again", lambda: rpc("tellStatus", again, ["status"])["status"] == "error")
    check("purged", rpc("purgeDownloadResult") == "OK" and rpc.raw("tellStopped", -1, 1000, BASIC)["result"] == [])

    # Its pages of settings: each change is a call of its own.
    for name, value in GLOBAL.items():
        value = options[name] if value is None else value
        check(f"changeGlobalOption {name}", rpc("changeGlobalOption", {name: value}) == "OK")
    now = rpc("getGlobalOption")
    check("it holds", (now["max-concurrent-downloads"], now["max-overall-download-limit"], now["split"]) == ("5", "1048576", "8"), now)
    check("saved", rpc("saveSession") == "OK")
    rpc("changeGlobalOption", {"max-overall-download-limit": "0", "max-concurrent-downloads": "8"})

    # What haul does not have says so in a sentence.
    check("no torrents", "BitTorrent" in rpc.refused("addTorrent", base64.b64encode(b"d8:announce0:e").decode(), [], {"pause": "false"}))
    check("not stopped from here", "hauld" in rpc.refused("shutdown"))
    check("an empty Metalink", "Metalink" in rpc.refused("addMetalink", base64.b64encode(b"<metalink/>").decode(), {}))


for form in ("post", "ws", "get"):
    session(Rpc(form))
sys.exit(bool(failures))
