"""A web page in a real browser that speaks the dialect, and one that may not.
usage: page.py CHROMIUM PAGE FOREIGN_PAGE PORT TOKEN FILE
PAGE comes from an origin that is allowed, FOREIGN_PAGE from another one."""
import sys

from playwright.sync_api import sync_playwright

chromium, page_url, foreign_url, port, token, file = sys.argv[1:7]

SOCKET = """([port, token, file]) => new Promise((done) => {
  const told = [];
  const socket = new WebSocket(`ws://127.0.0.1:${port}/jsonrpc`);
  const call = (id, method, ...params) =>
    socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params: ['token:' + token, ...params] }));
  let gid = null;
  const finish = (how) => { done({ how, told, gid }); socket.close(); };
  setTimeout(() => finish('late'), 40000);
  socket.onerror = () => finish('refused');
  socket.onopen = () => call('version', 'aria2.getVersion');
  socket.onmessage = (message) => {
    const body = JSON.parse(message.data);
    if (body.id === 'version') call('add', 'aria2.addUri', [file]);
    else if (body.id === 'add') gid = body.result;
    else if (body.method) {
      told.push([body.method, body.params[0].gid]);
      if (body.method === 'aria2.onDownloadComplete') finish('complete');
    }
  };
})"""

POST = """async ([port, token, gid]) => {
  const params = ['token:' + token, gid, ['status']];
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/jsonrpc`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'aria2.tellStatus', params }),
    });
    return (await answer.json()).result.status;
  } catch { return 'blocked'; }
}"""

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=["--no-sandbox"])
    page = browser.new_page()
    page.goto(page_url)
    seen = page.evaluate(SOCKET, [port, token, file])
    expected = [["aria2.onDownloadStart", seen["gid"]], ["aria2.onDownloadComplete", seen["gid"]]]
    post = page.evaluate(POST, [port, token, seen["gid"]])
    foreign = browser.new_page()
    foreign.goto(foreign_url)
    refused = foreign.evaluate(SOCKET, [port, token, file])
    blocked = foreign.evaluate(POST, [port, token, seen["gid"]])
    browser.close()

failures = [
    text for text, good in (
        (f"the page was told {seen}", seen["how"] == "complete" and seen["told"] == expected),
        (f"its POST got {post}", post == "complete"),
        (f"the foreign page got {refused}", refused["how"] == "refused" and refused["told"] == []),
        (f"its POST got {blocked}", blocked == "blocked"),
    ) if not good
]
print("\n".join(failures))
sys.exit(bool(failures))
