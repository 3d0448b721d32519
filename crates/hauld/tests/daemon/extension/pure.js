// The pure modules of the extension, tried within one of its pages. Answers with what has failed.
async () => {
  const [rules, links, cookies, words, daemon] = await Promise.all(
    ['rules', 'links', 'cookies', 'words', 'daemon'].map((name) => import(`/${name}.js`)),
  );
  const failures = [];
  const same = (what, found, expected) => {
    const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
    if (a !== b) failures.push(`${what}: ${a} and not ${b}`);
  };

  const download = {
    url: 'https://files.example.org/a.iso', finalUrl: 'https://cdn.example.net/x/a.iso', referrer: 'https://example.org/',
    mime: 'application/x-iso', name: 'a.iso', bytes: 5_000_000, isPrivate: false, isExtensions: false, isOld: false, isDone: false,
  };
  const decides = (what, why, changes = {}, settings = {}, hasKey = false) => {
    const verdict = rules.decide({ ...download, ...changes }, { ...rules.DEFAULTS, ...settings }, hasKey);
    same(what, verdict, why === null ? { take: true } : { take: false, why });
    if (why !== null && !rules.WHY[why]) failures.push(`${why} has no words`);
  };
  decides('an ordinary download', null);
  decides('switched off', 'off', {}, { enabled: false });
  decides('of another extension', 'extension', { isExtensions: true });
  for (const url of ['blob:https://example.org/1', 'data:text/plain,a', 'file:///etc/passwd', 'ftp://example.org/a', '']) {
    decides(`scheme of ${url}`, 'scheme', { url, finalUrl: url });
  }
  decides('redirected to a blob', 'scheme', { finalUrl: 'blob:https://example.org/1' });
  decides('without a final URL', null, { finalUrl: undefined });
  decides('from before', 'old', { isOld: true });
  decides('complete before haul', 'done', { isDone: true });
  decides('complete, and small', 'small', { isDone: true, bytes: 1 });
  decides('private', 'private', { isPrivate: true });
  decides('private and permitted', null, { isPrivate: true }, { privateWindows: true });
  decides('with the key', 'key', {}, {}, true);
  decides('with a key that means nothing', null, {}, { browserKey: 'none' }, true);
  for (const site of ['example.org', 'files.example.org', 'cdn.example.net', 'example.net']) {
    decides(`never from ${site}`, 'site', {}, { neverSites: [site] });
  }
  for (const site of ['ample.org', 'org.example', 'www.example.org']) {
    decides(`not from ${site} alone`, null, {}, { neverSites: [site] });
  }
  decides('from a page of a site', 'site', { referrer: 'https://a.shop.test/x' }, { neverSites: ['shop.test'] });
  decides('never wins', 'site', {}, { neverSites: ['example.org'], alwaysSites: ['example.org'] });
  decides('always, though small', null, { bytes: 5, name: 'a.pdf' }, { alwaysSites: ['example.org'], neverTypes: ['pdf'] });
  decides('always is not where haul may not go', 'local', { url: 'http://nas.lan/a' }, { alwaysSites: ['nas.lan'] });
  decides('a redirect inside', 'local', { finalUrl: 'http://192.168.1.1/a' });
  decides('a page', 'mime', { mime: 'text/html; charset=utf-8' });
  decides('a kind', 'mime', { mime: 'Image/PNG' }, { neverMimes: ['image/*'] });
  decides('another kind', null, { mime: 'imagery/png' }, { neverMimes: ['image/*'] });
  decides('an ending', 'type', { name: 'b.PDF' }, { neverTypes: ['pdf'] });
  decides('an ending of the URL', 'type', { name: '' }, { neverTypes: ['iso'] });
  decides('small', 'small', { bytes: 999_999 });
  decides('just large enough', null, { bytes: 1_000_000 });
  decides('no size', null, { bytes: null });
  decides('no size, and that is not wanted', 'unknown', { bytes: null }, { unknownSize: 'browser' });

  const local = [
    'localhost', 'a.localhost', 'printer', 'nas.local', 'nas.LAN', 'x.internal', 'r.home.arpa', '127.0.0.1', '10.1.2.3',
    '172.16.0.1', '172.31.255.255', '192.168.0.1', '169.254.169.254', '100.64.0.1', '0.0.0.0', '224.0.0.1', '[::1]',
    '[fe80::1]', '[fd00::1]', 'nas.local.',
  ];
  for (const host of local) same(`${host} is local`, rules.isLocal(host), true);
  for (const host of ['example.org', '11.0.0.1', '172.32.0.1', '100.128.0.1', '[2606:4700::1]', 'local.example', 'a.lan.de']) {
    same(`${host} is not local`, rules.isLocal(host), false);
  }
  for (const [name, ending] of [['a.TAR.GZ', 'gz'], ['.bashrc', ''], ['a', ''], ['/x.y/z', ''], ['a\\b.c', 'c'], ['', '']]) {
    same(`ending of ${name}`, rules.ending(name), ending);
  }
  for (const [text, address] of [
    ['127.0.0.1:9000', 'http://127.0.0.1:9000'], [' localhost:80 ', 'http://localhost'], ['http://127.0.0.1:1/', 'http://127.0.0.1:1'],
    ['https://127.0.0.1:1', null], ['example.org', null], ['127.0.0.1.evil.test:80', null], ['a@127.0.0.1', null],
    ['127.0.0.1/x', null], ['', null], ['file:///a', null],
  ]) {
    same(`address ${text}`, rules.readAddress(text), address);
  }
  const typed = { ...rules.DEFAULTS, neverSites: ['Example.ORG', '*.a.test', 'https://b.test/x'], neverTypes: ['.PDF', '*.zip'] };
  const read = rules.readSettings(typed);
  same('settings', [read.errors, read.settings.neverSites, read.settings.neverTypes],
    [{}, ['example.org', 'a.test', 'b.test'], ['pdf', 'zip']]);
  const wrong = rules.readSettings({ ...typed, address: 'evil.test', minBytes: NaN, alwaysSites: ['a b'], neverMimes: ['x'] });
  same('wrong settings', Object.keys(wrong.errors), ['address', 'minBytes', 'alwaysSites', 'neverMimes']);

  same('URLs of a text', links.urlsIn(
    'See https://a.test/x, (http://b.test/y_(1)), <https://a.test/x>; "www.c.test/z". Not ftp://d.test or e.test! http://f.test/#top',
  ), ['https://a.test/x', 'http://b.test/y_(1)', 'https://www.c.test/z', 'http://f.test/']);
  same('no URL', links.urlsIn('nothing here: javascript:alert(1) data:text/html,x http://'), []);
  const page = [
    { url: 'https://a.test/1.zip#x', text: ' ' }, { url: 'https://a.test/1.zip', text: 'The  first\n one' },
    { url: 'javascript:alert(1)', text: 'no' }, { url: 'https://a.test/2.PDF', text: '' },
  ];
  const unique = links.uniqueLinks(page);
  same('links of a page', unique, [
    { url: 'https://a.test/1.zip', text: 'The first one', type: 'zip' }, { url: 'https://a.test/2.PDF', text: '', type: 'pdf' },
  ]);
  same('filtered', links.filtered(unique, 'FIRST a.test').length, 1);
  same('filtered by ending', links.filtered(unique, '', 'pdf').map(({ type }) => type), ['pdf']);

  const cookie = { name: 'a', value: 'b=c', domain: '.example.org', hostOnly: false, path: '/x', secure: true, expirationDate: 1.5 };
  same('a cookie', cookies.toHaul(cookie), {
    name: 'a', value: 'b=c', domain: 'example.org', host_only: false, path: '/x', secure: true,
    expires: '1970-01-01T00:00:01.500Z',
  });
  same('one of the session', cookies.toHaul({ ...cookie, hostOnly: true, expirationDate: undefined }).expires, undefined);
  same('one without end', cookies.toHaul({ ...cookie, expirationDate: 1e18 }).expires, undefined);
  for (const odd of [{ name: '' }, { name: 'a b' }, { value: 'a;b' }, { value: 'a\nb' }, { value: 'x'.repeat(4096) }]) {
    same(`an odd cookie ${JSON.stringify(odd).slice(0, 30)}`, cookies.toHaul({ ...cookie, ...odd }), null);
  }
  const parts = [
    cookie, { ...cookie, value: 'newer' }, { ...cookie, name: 'own', partitionKey: { topLevelSite: 'https://example.org' } },
    { ...cookie, name: 'foreign', partitionKey: { topLevelSite: 'https://other.test' } },
  ];
  const picked = cookies.pick(parts, ['https://www.example.org/page']);
  same('picked', picked.map(({ name, value }) => `${name}=${value}`), ['a=newer', 'own=b=c']);
  same('a header', cookies.header(picked), 'a=newer; own=b=c');

  const job = { state: 'active', total_bytes: 2_000_000, done_bytes: 500_000, speed: 100_000, eta_seconds: 90, waiting_for: null };
  same('active', words.state(job), '500 KB of 2.0 MB · 100 KB/s · 2 min left');
  same('a quarter', words.fraction(job), 0.25);
  same('no size', words.fraction({ ...job, total_bytes: null }), null);
  same('a link', words.state({ ...job, state: 'waiting', waiting_for: 'link' }),
    '500 KB of 2.0 MB · needs a new link: this one has expired');
  same('units', [0, 999, 1000, 999_600, 1e9, 5e15].map(words.bytes), ['0 B', '999 B', '1.0 KB', '1.0 MB', '1.0 GB', '5000 TB']);

  same('a code', daemon.plainCode(' abcd-efgo il10 '), 'ABCDEFG01110');
  // The vector that the daemon's own test has.
  same('a proof', await daemon.proofOf('token', '0123456789abcdef'), '65c9016277f90ef670c1f12d0669f8380b5f63d077b9ec0e0bcd49d1d519af5b');
  return failures;
}
