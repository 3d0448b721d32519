"""Golden requests: the forms real aria2 clients put on the wire, replayed against any aria2-compatible server.
usage: golden.py http://127.0.0.1:6800/jsonrpc SECRET URL_TEMPLATE
URL_TEMPLATE holds {} for the file name, e.g. http://127.0.0.1:8080/f/{}?rate=300000 ; it must serve
every name slowly (tens of seconds) and answer 404 for missing.bin.
Standard library only. Exit 0 when every case passes. Each case names the client whose form it is."""
import base64, json, re, sys, time, urllib.error, urllib.parse, urllib.request
if len(sys.argv) != 4: sys.exit(__doc__)
URL, SECRET, BASE = sys.argv[1:4]
T = 'token:' + SECRET; GID = re.compile(r'^[0-9a-f]{16}$'); NUM = re.compile(r'^\d+$')
ok = bad = 0
def http(body, ct=None, method='POST', url=URL, extra=None):
    r = urllib.request.Request(url, data=body.encode() if body is not None else None, method=method)
    if ct: r.add_header('Content-Type', ct)
    elif body is not None: r.add_unredirected_header('Content-Type', '')
    for k, v in (extra or {}).items(): r.add_header(k, v)
    try: x = urllib.request.urlopen(r, timeout=10)
    except urllib.error.HTTPError as e: x = e
    t = x.read().decode()
    try: return x.status, json.loads(t), x.headers
    except ValueError: return x.status, t, x.headers
def check(name, cond, got=None):
    global ok, bad
    if cond: ok += 1
    else: bad += 1; print('FAIL', name, '->', json.dumps(got)[:300])
def rpc(method, *params, id=1, token=True, ct='application/json', **over):
    d = {'jsonrpc': '2.0', 'id': id, 'method': method, 'params': ([T] if token else []) + list(params)}; d.update(over)
    return http(json.dumps({k: v for k, v in d.items() if v is not ...}), ct)
def res(*a, **k): return rpc(*a, **k)[1].get('result')
def err(*a, **k): s, d, _ = rpc(*a, **k); return s, (d.get('error') or {}).get('code'), (d.get('error') or {}).get('message')
F = lambda n: BASE.replace('{}', n)

# 1 envelopes: content types, ids, protocol member
v = json.dumps({'jsonrpc': '2.0', 'id': -1, 'method': 'aria2.getVersion', 'params': [T]})
for c, who in ((None, 'aria2p'), ('application/json', 'AriaNg'), ('text/plain;charset=UTF-8', 'jc3213'), ('application/x-www-form-urlencoded', 'curl -d'), ('application/json;charset=utf-8', 'webui-aria2')):
    s, d, h = http(v, c); check(f'{who} content-type {c}', s == 200 and d['id'] == -1 and isinstance(d['result']['version'], str) and isinstance(d['result']['enabledFeatures'], list), d)
for i in (0, -1, 7, 'webui', 'MTIzXzAuNQ==', '5f1c2f5e-0000-4000-8000-000000000000', None):
    d = rpc('aria2.getVersion', id=i)[1]; check(f'id {i!r} echoed', d.get('id') == i and type(d.get('id')) is type(i) and 'result' in d, d)
check('jsonrpc as number (webui-aria2)', 'result' in rpc('aria2.getVersion', jsonrpc=2)[1])
check('jsonrpc absent', 'result' in rpc('aria2.getVersion', jsonrpc=...)[1])
check('missing id is -32600/400', (lambda s, d, h: s == 400 and d['error']['code'] == -32600)(*rpc('aria2.getVersion', id=...)))
check('bad json is -32700/500', (lambda s, d, h: s == 500 and d['error']['code'] == -32700 and d['id'] is None)(*http('{', 'application/json')))
check('params not a list is -32602/500', (lambda s, d, h: s == 500 and d['error']['code'] == -32602)(*rpc('aria2.getVersion', params={})))
check('params absent on system.*', isinstance(rpc('system.listMethods', params=...)[1].get('result'), list))
check('6 notifications', len(res('system.listNotifications', token=False) or []) == 6)
check('extra params ignored (baptistecdr)', 'numActive' in res('aria2.getGlobalStat', [], {}))
check('no token', err('aria2.getVersion', token=False) == (400, 1, 'Unauthorized'))
check('wrong token', err('aria2.getVersion', token=False, params=['token:x']) == (400, 1, 'Unauthorized'))
check('unknown method', err('aria2.nosuch') == (400, 1, 'No such method: aria2.nosuch'))
# 2 GET form (AriaNg "HTTP GET") and preflight
q = urllib.parse.quote(base64.b64encode(json.dumps([T]).encode()).decode(), safe='')
s, d, h = http(None, method='GET', url=f'{URL}?jsonrpc=2.0&method=aria2.getVersion&id=QXJpYU5nXzE=&params={q}')
check('GET form', s == 200 and d['id'] == 'QXJpYU5nXzE=' and 'version' in d['result'], d)
# 3 batch and multicall
s, d, h = http(json.dumps([{'jsonrpc': '2.0', 'id': 1, 'method': 'aria2.getVersion', 'params': [T]}, {'jsonrpc': '2.0', 'id': 2, 'method': 'aria2.nosuch', 'params': [T]}]))
check('batch (aria2p)', s == 200 and len(d) == 2 and 'result' in d[0] and d[1]['error']['code'] == 1, d)
mc = res('system.multicall', [{'methodName': 'aria2.getGlobalStat', 'params': [T]}, {'methodName': 'aria2.getVersion', 'params': []}, {'methodName': 'system.listNotifications'}], token=False)
check('multicall: [value], bare fault, params absent', mc and 'numActive' in mc[0][0] and mc[1] == {'code': 1, 'message': 'Unauthorized'} and len(mc[2][0]) == 6, mc)
check('multicall with outer token is refused', err('system.multicall', [])[1:] == (1, 'The parameter at 0 has wrong type.'))
# 4 addUri in each client's form
def add(name, opts, who, *pos):
    g = res('aria2.addUri', [F(name)], opts, *pos); check(f'addUri {who}', isinstance(g, str) and GID.match(g or ''), g); return g
gs = [add('g1.bin', {'header': ['Cookie: sid=1', 'User-Agent: M/5'], 'referer': 'http://p/', 'out': 'g1.bin'}, 'Aria2 Explorer'),
      add('g2.bin', {'dir': None, 'out': 'g2.bin', 'header': ['Accept-Encoding: gzip, deflate, br, zstd', 'Sec-Fetch-Mode: navigate', 'Referer: http://p/', 'Cookie: a=b', 'User-Agent: M/5']}, 'jc3213 (dir null)'),
      add('g3.bin', {'out': 'g3.bin', 'remote-time': 'false', 'referer': 'http://p/', 'header': 'Cookie: a=b'}, 'motrix-webextension (header string)'),
      add('g4.bin', {'out': 'g4.bin', 'parameterized-uri': 'false', 'header': [None, 'Cookie: a=b', None, 'Referer: http://p/']}, 'Aria2-Integration (sparse headers)'),
      add('g6.bin', {'header': ['Referer: ', 'Cookie: '], 'out': 'g6.bin'}, 'baptistecdr retry (empty header values)'),
      add('g5.bin', {'out': 'g5.bin', 'pause': 'true', 'split': '4', 'max-connection-per-server': '4', 'unknown-option': 'x'}, 'AriaNg paused + unknown option', 0)]
check('addUri no uri', err('aria2.addUri', [])[2] == 'URI is not provided.')
check('addUri not a list', err('aria2.addUri', F('x'))[2] == 'The parameter at 0 has wrong type.')
check('addUri blob:', err('aria2.addUri', ['blob:http://x/1'])[2] == 'No URI to download.')
time.sleep(1.5)
# 5 structs
KEYS = ['gid', 'status', 'totalLength', 'completedLength', 'uploadLength', 'downloadSpeed', 'uploadSpeed', 'connections', 'numPieces', 'pieceLength', 'dir', 'files']
NUMS = ['totalLength', 'completedLength', 'uploadLength', 'downloadSpeed', 'uploadSpeed', 'connections', 'numPieces', 'pieceLength']
def full(s): return all(k in s for k in KEYS) and all(isinstance(s[k], str) and NUM.match(s[k]) for k in NUMS) and len(s['files']) == 1 and s['files'][0]['index'] == '1' and s['files'][0]['selected'] == 'true' and all(NUM.match(s['files'][0][k]) for k in ('length', 'completedLength')) and isinstance(s['files'][0]['path'], str) and all(set(u) == {'uri', 'status'} for u in s['files'][0]['uris']) and 'bittorrent' not in s
for g in gs: s = res('aria2.tellStatus', g); check(f'tellStatus full {s.get("status") if s else s}', s and full(s) and s['status'] in ('active', 'waiting', 'paused'), s)
check('keys filter, unknown key ignored', set(res('aria2.tellStatus', gs[0], ['gid', 'status', 'numSeeders'])) == {'gid', 'status'})
check('paused on request', res('aria2.tellStatus', gs[5], ['status']) == {'status': 'paused'})
check('upper-case gid', res('aria2.tellStatus', gs[0].upper(), ['gid']) == {'gid': gs[0]}); check('gid prefix', res('aria2.tellStatus', gs[0][:14], ['gid']) == {'gid': gs[0]})
check('gid unknown', err('aria2.tellStatus', 'f' * 16) == (400, 1, f'GID {"f" * 16} is not found')); check('gid invalid', err('aria2.tellStatus', 'zz')[2] == 'Invalid GID zz')
act = res('aria2.tellActive', ['gid', 'status']); wai = res('aria2.tellWaiting', 0, 1000, ['gid', 'status'])
check('tellActive', act and all(x['status'] == 'active' for x in act), act); check('tellWaiting', isinstance(wai, list) and all(x['status'] in ('waiting', 'paused') for x in wai) and gs[5] in [x['gid'] for x in wai], wai)
check('tellWaiting -1 is reversed', [x['gid'] for x in res('aria2.tellWaiting', -1, 1000, ['gid'])] == [x['gid'] for x in wai][::-1])
check('tellWaiting num 0', res('aria2.tellWaiting', 0, 0) == []); check('tellStopped beyond', res('aria2.tellStopped', 5000, 10) == [])
st = res('aria2.getGlobalStat'); check('getGlobalStat strings', set(st) >= {'downloadSpeed', 'uploadSpeed', 'numActive', 'numWaiting', 'numStopped', 'numStoppedTotal'} and all(NUM.match(x) for k, x in st.items() if k != 'percentActive'), st)
check('counts add up', int(st['numActive']) == len(act) and int(st['numWaiting']) == len(wai), st)
check('getPeers empty', res('aria2.getPeers', act[0]['gid']) == []); sv = res('aria2.getServers', act[0]['gid'])
check('getServers', sv and set(sv[0]) == {'index', 'servers'} and all(set(x) == {'uri', 'currentUri', 'downloadSpeed'} for x in sv[0]['servers']), sv)
check('getUris/getFiles', isinstance(res('aria2.getUris', gs[0]), list) and isinstance(res('aria2.getFiles', gs[0]), list))
check('sessionId', re.match(r'^[0-9a-f]{40}$', res('aria2.getSessionInfo')['sessionId']))
# 6 options
check('changeOption OK', res('aria2.changeOption', gs[0], {'max-download-limit': '100K'}) == 'OK'); o = res('aria2.getOption', gs[0])
check('limit read back in bytes', o.get('max-download-limit') == '102400', o.get('max-download-limit')); check('options are strings', all(isinstance(x, str) for x in o.values()))
check('header read back as lines', o.get('header', '').startswith('Cookie: ') and o['header'].split('\n')[1] == 'User-Agent: M/5', o.get('header'))
check('changeOption unknown name', res('aria2.changeOption', gs[0], {'nope': 'x'}) == 'OK'); check('changeOption int ignored', res('aria2.changeOption', gs[0], {'split': 3}) == 'OK')
check('bad value', err('aria2.changeOption', gs[0], {'max-download-limit': 'abc'})[:2] == (400, 1))
go = res('aria2.getGlobalOption'); check('global keys', all(k in go for k in ('dir', 'max-concurrent-downloads', 'split', 'max-connection-per-server', 'min-split-size', 'max-overall-download-limit', 'max-overall-upload-limit', 'user-agent', 'allow-overwrite', 'file-allocation', 'disk-cache', 'max-tries', 'retry-wait')), sorted(go))
check('changeGlobalOption', res('aria2.changeGlobalOption', {'max-overall-download-limit': '2M'}) == 'OK' and res('aria2.getGlobalOption')['max-overall-download-limit'] == '2097152'); res('aria2.changeGlobalOption', {'max-overall-download-limit': '0'})
# 7 queue and life cycle
check('changePosition int', isinstance(res('aria2.changePosition', gs[5], 0, 'POS_SET'), int)); check('changePosition how', err('aria2.changePosition', gs[5], 0, 'X')[2] == 'Illegal argument.')
check('changePosition active', err('aria2.changePosition', act[0]['gid'], 0, 'POS_SET')[2] == f"GID#{act[0]['gid']} not found in the waiting queue.")
check('changeUri [n,n]', res('aria2.changeUri', gs[5], 1, [], [F('mirror.bin')]) == [0, 1])
a = act[0]['gid']; check('pause', res('aria2.forcePause', a) == a); time.sleep(1.2); check('is paused', res('aria2.tellStatus', a, ['status'])['status'] == 'paused')
check('pause twice', err('aria2.pause', a)[2] == f'GID#{a} cannot be paused now'); check('unpause', res('aria2.unpause', a) == a); time.sleep(1)
check('unpause twice', err('aria2.unpause', a)[2] == f'GID#{a} cannot be unpaused now')
check('removeDownloadResult live', err('aria2.removeDownloadResult', a)[2] == f'Could not remove download result of GID#{a}')
check('forceRemove of a paused job', res('aria2.forceRemove', gs[5]) == gs[5]); check('... leaves no trace', err('aria2.tellStatus', gs[5])[2] == f'GID {gs[5]} is not found')
a = res('aria2.tellActive', ['gid'])[0]['gid']; check('forceRemove of an active job', res('aria2.forceRemove', a) == a); time.sleep(1.5); s = res('aria2.tellStatus', a); check('removed', s['status'] == 'removed' and s['errorCode'] == '31', s)
check('remove twice', err('aria2.remove', a)[2] == f'Active Download not found for GID#{a}'); check('in tellStopped', a in [x['gid'] for x in res('aria2.tellStopped', -1, 1000, ['gid'])])
check('removeDownloadResult', res('aria2.removeDownloadResult', a) == 'OK'); check('gone', err('aria2.tellStatus', a)[2] == f'GID {a} is not found')
for g in gs:
    if g != a: rpc('aria2.forceRemove', g)
time.sleep(1); m = res('aria2.addUri', [F('missing.bin')], {'out': 'missing.bin'}); time.sleep(5); s = res('aria2.tellStatus', m); check('404 -> error 3', s and s['status'] == 'error' and s['errorCode'] == '3', s)
o = res('aria2.getOption', m); m2 = res('aria2.addUri', [F('missing.bin')], o); check('retry: whole getOption re-submitted', isinstance(m2, str) and GID.match(m2), m2)
check('pauseAll/unpauseAll/purge OK', [res('aria2.' + x) for x in ('pauseAll', 'unpauseAll', 'purgeDownloadResult')] == ['OK'] * 3)
x = rpc('aria2.saveSession')[1]; check('saveSession OK (aria2 without save-session refuses)', x.get('result') == 'OK' or 'ilename' in x['error']['message'], x)
print(f'{ok} passed, {bad} failed'); sys.exit(bool(bad))
