"""WebSockets: what is told without being asked, to whom, in which order.
usage: sockets.py PORT OWNER SUBMIT SUBMIT_ID BASE
OWNER and SUBMIT are tokens, SUBMIT_ID is the number of the second one. BASE serves slow.bin slowly, small.bin at once, and has
no missing.bin."""
import json
import sys
import urllib.request

import websocket

port, owner, submit, submit_id, base = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5]
failures = []


def check(name, good, got=None):
    if not good:
        failures.append(name)
        print("FAIL", name, "->", repr(got)[:500])


class Socket:
    def __init__(self, **options):
        self.inner = websocket.create_connection(f"ws://127.0.0.1:{port}/jsonrpc", timeout=40, **options)
        self.notices = []
        self.ids = 0

    def read(self):
        message = json.loads(self.inner.recv())
        if "method" in message:
            self.notices.append((message["method"].removeprefix("aria2.onDownload"), message["params"][0]["gid"]))
        return message

    def answer(self):
        while True:
            message = self.read()
            if not isinstance(message, dict) or "method" not in message:
                return message

    def call(self, method, *params, token=None):
        self.ids += 1
        params = ([f"token:{token}"] if token else []) + list(params)
        self.inner.send(json.dumps({"jsonrpc": "2.0", "id": self.ids, "method": method, "params": params}))
        message = self.answer()
        check("the answer to this call", message["id"] == self.ids, message)
        return message.get("result", message.get("error"))

    def until(self, name, gid):
        """Reads until a job was told to do so; answers with all that was told of it."""
        while (name, gid) not in self.notices:
            self.read()
        return [told for told, of in self.notices if of == gid]


# Who has no token is told nothing, and waits for the refusal.
stranger = Socket()
check("a stranger", stranger.call("aria2.getVersion") == {"code": 1, "message": "Unauthorized"})
check("what needs no token", len(stranger.call("system.listNotifications")) == 6)

# The first call with a token may be the one that has something happen.
front = Socket()
listener = Socket()
listener.call("aria2.getVersion", token=owner)
small = front.call("aria2.addUri", [base + "small.bin"], token=owner)
check("begun and complete", front.until("Complete", small) == ["Start", "Complete"], front.notices)
check("everybody with a token is told", listener.until("Complete", small) == ["Start", "Complete"], listener.notices)

slow = front.call("aria2.addUri", [base + "slow.bin"], token=owner)
front.until("Start", slow)
front.call("aria2.pause", slow, token=owner)
check("paused", front.until("Pause", slow) == ["Start", "Pause"], front.notices)
front.notices.clear()
front.call("aria2.unpause", slow, token=owner)
check("begun again", front.until("Start", slow) == ["Start"], front.notices)
front.call("aria2.remove", slow, token=owner)
check("stopped", front.until("Stop", slow) == ["Start", "Stop"], front.notices)

# What waits makes no noise: the job behind it is told of first.
rests = front.call("aria2.addUri", [base + "slow.bin"], {"pause": "true"}, token=owner)
front.call("aria2.remove", rests, token=owner)
missing = front.call("aria2.addUri", [base + "missing.bin"], token=owner)
check("failed", front.until("Error", missing) == ["Start", "Error"], front.notices)
check("no word of one that waited", all(gid != rests for _, gid in front.notices), front.notices)

# A submit token is told of its own jobs: none of those above, and none below.
others = Socket()
check("it may look", "version" in others.call("aria2.getVersion", token=submit))
theirs = front.call("aria2.addUri", [base + "small.bin"], {"out": "theirs.bin"}, token=owner)
front.until("Complete", theirs)
inside = base.replace("127.0.0.1", "localhost")
own = others.call("aria2.addUri", [inside + "small.bin"], token=submit)
told = others.until("Error", own)
check("its own, which may not reach this machine", told == ["Start", "Error"], told)
check("and no other", all(gid == own for _, gid in others.notices), others.notices)

# A revoked token ends what it was told by.
request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/tokens/{submit_id}", method="DELETE", headers={"Authorization": f"Bearer {owner}"})
urllib.request.urlopen(request).close()
try:
    others.read()
    check("closed", False, others.notices)
except (websocket.WebSocketConnectionClosedException, json.JSONDecodeError):
    # The close frame comes as an empty text, or the connection has ended already.
    check("closed", True)

# Messages that are none are answered, and the socket stays.
for wrong in ("{", "7", "[]", "null", json.dumps({"id": 1, "method": 7})):
    front.inner.send(wrong)
    front.answer()
front.inner.send_binary(json.dumps({"id": "b", "method": "system.listMethods"}).encode())
check("a binary frame", front.answer()["id"] == "b")
check("the socket stays", "version" in front.call("aria2.getVersion", token=owner))
check("the stranger was told nothing", stranger.notices == [] and len(stranger.call("system.listMethods")) == 36)
try:
    websocket.create_connection(f"ws://127.0.0.1:{port}/jsonrpc", timeout=10, origin="http://evil.example")
    check("a foreign origin", False)
except websocket.WebSocketBadStatusException as error:
    check("a foreign origin", error.status_code == 403, error.status_code)
sys.exit(bool(failures))
