import { connect } from 'node:net';
import { Hono } from 'hono';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { LogsError } from '../../src/errors.js';
import { type HttpServer, startHttpServer } from '../../src/http/http-server.js';

/** More than the buffers of sockets hold. */
const LARGE_BYTES = 16 << 20;
const TOKEN = 'a-token-of-sixteen-characters';
let server: HttpServer;
afterEach(() => {
  vi.useRealTimers();
  return server.close();
});

const OPTIONS = { name: 'test', option: '--http', features: [] };
const ON_LOOPBACK = { host: '127.0.0.1', port: 0 };

async function start(token: string | null, host = '127.0.0.1'): Promise<string> {
  const routes = new Hono()
    .get('/hello', (c) => c.text('hello'))
    .get('/large', (c) => c.body(new Uint8Array(LARGE_BYTES)));
  const open = new Hono().get('/health', (c) => c.text('well'));
  const refuse = () => {
    throw new LogsError('BAD_INPUT', 'not this one');
  };
  const sockets = new Map([
    ['/echo', () => (socket: WebSocket) => void socket.on('message', (data) => socket.send(String(data)))],
    ['/refused', refuse],
  ]);
  const address = { host, port: 0 };
  const features = [{ routes, open, sockets }];
  server = await startHttpServer({ ...OPTIONS, address, token, tokenName: 'the key of the house', features });
  return `http://127.0.0.1:${server.address.port}`;
}

/** The cookie, as a browser sends it, that is set for the address with the token. */
async function cookieOf(url: string, token = TOKEN): Promise<string> {
  const { headers } = await fetch(`${url}/hello?token=${token}`);
  return headers.get('set-cookie')!.split(';')[0];
}

/** The first event of a WebSocket client: an echo, or a refusal. */
function socketOutcome(url: string, headers: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url.replace('http', 'ws'), { headers });
    socket.on('open', () => socket.send('hi'));
    socket.on('message', (data) => {
      resolve(String(data));
      socket.close();
    });
    socket.on('error', (error) => resolve(error.message));
  });
}

/** The answer to raw bytes; empty if the server closes without one. */
function rawAnswer(request: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(server.address.port, '127.0.0.1', () => socket.write(request));
    socket.on('data', (data) => {
      answer += data;
      if (answer.startsWith('HTTP/1.1 ')) socket.end();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
  });
}

const upgradeOf = (target: string, ...headers: string[]) =>
  [
    `GET ${target} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
    '\r\n',
  ].join('\r\n');

describe('an upgrade whose target is no URL', () => {
  it.each(['//', 'http://[/', 'http://a:b:c/', '//?token='])('%s is answered with 400', async (target) => {
    const url = await start(null);
    expect(await rawAnswer(upgradeOf(target))).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect((await fetch(`${url}/hello`)).status).toBe(200);
  });

  it('is asked for the token first', async () => {
    await start(TOKEN, '0.0.0.0');
    expect(await rawAnswer(upgradeOf('//'))).toMatch(/^HTTP\/1\.1 401 /);
    expect(await rawAnswer(upgradeOf(`//?token=${TOKEN}`))).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('does no harm when its sender is gone before the answer', async () => {
    const url = await start(null);
    for (let i = 0; i < 20; i++)
      await new Promise<void>((resolve) => {
        const socket = connect(server.address.port, '127.0.0.1', () => {
          socket.write(upgradeOf('/nothing'), () => socket.resetAndDestroy());
        });
        socket.on('error', () => undefined);
        socket.on('close', () => resolve());
      });
    expect((await fetch(`${url}/hello`)).status).toBe(200);
  });
});

it('tells in the handshake why a feature refuses a WebSocket', async () => {
  await start(null);
  expect(await rawAnswer(upgradeOf('/refused'))).toMatch(
    /^HTTP\/1\.1 400 Bad Request\r\n.*\r\n\r\nnot this one$/s,
  );
});

describe('a page of another origin', () => {
  it.each(['http://evil.example', 'null', 'http://127.0.0.1:1'])('(%s) is refused', async (origin) => {
    const url = await start(null);
    expect(await socketOutcome(`${url}/echo`, { origin })).toContain('403');
    expect((await fetch(`${url}/hello`, { headers: { origin } })).status).toBe(403);
  });

  it('is refused with the token too; the own page is not', async () => {
    const url = await start(TOKEN, '0.0.0.0');
    const authorization = `Bearer ${TOKEN}`;
    expect(await socketOutcome(`${url}/echo`, { authorization, origin: 'https://evil.example' })).toContain(
      '403',
    );
    expect(await socketOutcome(`${url}/echo`, { authorization, origin: url })).toBe('hi');
  });

  it.each([
    [TOKEN, 'locmoe.example', 'hi'],
    [TOKEN, 'other.example', '403'],
    [null, 'locmoe.example', '403'],
  ])(
    'is the own page behind a proxy that tells what host it was asked for (%s, %s)',
    async (token, host, outcome) => {
      const url = await start(token, token === null ? undefined : '0.0.0.0');
      const cookie = token === null ? '' : await cookieOf(url);
      const headers = { cookie, origin: 'https://locmoe.example' };
      expect(await socketOutcome(`${url}/echo`, { ...headers, 'x-forwarded-host': host })).toContain(outcome);
    },
  );
});

it('sets no cookie for a token that it does not ask for', async () => {
  const url = await start(null);
  const { status, headers } = await fetch(`${url}/hello?token=%0d%0aX: y`);
  expect([status, headers.get('set-cookie')]).toEqual([200, null]);
});

describe('with a token', () => {
  it('answers whoever gives it, in each way', async () => {
    const url = await start(TOKEN, '0.0.0.0');
    const basic = Buffer.from(`anyone:${TOKEN}`).toString('base64');
    for (const headers of [
      { authorization: `Bearer ${TOKEN}` },
      { authorization: `Basic ${basic}` },
      { cookie: `a=b; ${await cookieOf(url)}` },
    ])
      expect((await fetch(`${url}/hello`, { headers })).status).toBe(200);
    const opened = await fetch(`${url}/hello?token=${TOKEN}`);
    expect(opened.status).toBe(200);
    expect(opened.headers.get('set-cookie')).toMatch(/; HttpOnly; SameSite=Strict; Path=\/$/);
    expect(await socketOutcome(`${url}/echo`, { authorization: `Bearer ${TOKEN}` })).toBe('hi');
  });

  it('refuses the others, but for /ready', async () => {
    const url = await start(TOKEN, '0.0.0.0');
    const [name, value] = (await cookieOf(url)).split('=');
    for (const headers of [
      {},
      { authorization: 'Bearer wrong' },
      { authorization: `Bearer ${value}` },
      { cookie: `${name}=wrong` },
      { cookie: `${name}=${TOKEN}` },
      { cookie: `other=${value}` },
    ])
      expect((await fetch(`${url}/hello`, { headers })).status).toBe(401);
    const refused = await fetch(`${url}/nowhere`);
    expect(refused.status).toBe(401);
    expect(await refused.text()).toMatch(/^the key of the house is needed: Authorization: Bearer TOKEN, /);
    expect(await socketOutcome(`${url}/echo`)).toContain('401');
    expect(await (await fetch(`${url}/ready`)).text()).toBe('ready\n');
  });
});

it('has a cookie of its own: browsers send those of a host to all its ports', async () => {
  const url = await start(TOKEN);
  const other = await startHttpServer({ ...OPTIONS, address: ON_LOOPBACK, token: `${TOKEN}-of-another-run` });
  try {
    const others = await cookieOf(`http://127.0.0.1:${other.address.port}`, `${TOKEN}-of-another-run`);
    const own = await cookieOf(url);
    expect(own.split('=')[0]).not.toBe(others.split('=')[0]);
    const both = { cookie: `${own}; ${others}` };
    expect((await fetch(`${url}/hello`, { headers: both })).status).toBe(200);
    expect((await fetch(`${url}/hello`, { headers: { cookie: others } })).status).toBe(401);
    // The token cannot be derived from the cookie.
    expect(own).not.toContain(TOKEN);
  } finally {
    await other.close();
  }
});

describe('without a token', () => {
  it('does not listen beyond loopback', async () => {
    await expect(start(null, '0.0.0.0')).rejects.toThrow(
      /--http: 0\.0\.0\.0 can be reached from other machines/,
    );
  });

  it('answers to loopback names, and to no other', async () => {
    const url = await start(null);
    expect(await (await fetch(`${url}/hello`)).text()).toBe('hello');
    expect(await socketOutcome(`${url}/echo`)).toBe('hi');
    expect(await socketOutcome(`${url}/echo`, { host: 'evil.example' })).toContain('403');
    expect(await socketOutcome(`${url}/nothing`)).toContain('404');
  });
});

it('says which option to change when the port is taken', async () => {
  await start(null);
  const { address } = server;
  await expect(startHttpServer({ ...OPTIONS, address, token: null })).rejects.toThrow(
    new RegExp(`port ${address.port} on 127.0.0.1 .*--http`),
  );
});

it('drains: an answer that has begun is read to its end, and then there is no server', async () => {
  const url = await start(null);
  const large = await fetch(`${url}/large`);
  const drained = server.drain(10_000);
  expect((await large.arrayBuffer()).byteLength).toBe(LARGE_BYTES);
  await drained;
  await expect(fetch(`${url}/hello`)).rejects.toThrow();
});

it('drains no longer than it may', async () => {
  const url = await start(null);
  const large = await fetch(`${url}/large`);
  await server.drain(50);
  await expect(large.arrayBuffer()).rejects.toThrow();
});

it('waits for its features when it closes, but not for ever', async () => {
  const startClosing = async (close: () => Promise<void>) => {
    const features = [{ routes: new Hono(), close }];
    server = await startHttpServer({ ...OPTIONS, address: ON_LOOPBACK, token: null, features });
    const closed = vi.fn();
    void server.close().then(closed);
    return closed;
  };
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  let finish = () => {};
  const asked = vi.fn(() => new Promise<void>((resolve) => (finish = resolve)));
  const closed = await startClosing(asked);
  await expect.poll(() => asked.mock.calls.length).toBe(1);
  vi.advanceTimersByTime(1_900);
  expect(closed).not.toHaveBeenCalled();
  finish();
  await expect.poll(() => closed.mock.calls.length).toBe(1);
  const endless = await startClosing(() => new Promise(() => undefined));
  await expect
    .poll(() => {
      vi.advanceTimersByTime(500);
      return endless.mock.calls.length;
    })
    .toBe(1);
});

it('answers without a token where a feature is open, and says a refusal as the program wants it', async () => {
  const url = await start(TOKEN);
  expect(await (await fetch(`${url}/health`)).text()).toBe('well');
  expect((await fetch(`${url}/hello`)).status).toBe(401);
  await server.close();
  const features = [{ routes: new Hono().get('/hello', (c) => c.text('hello')) }];
  const refuse = ({ status, reason }: { status: number; reason: string }) =>
    Response.json({ reason }, { status });
  server = await startHttpServer({ ...OPTIONS, address: ON_LOOPBACK, token: TOKEN, features, refuse });
  const refused = await fetch(`http://127.0.0.1:${server.address.port}/hello`);
  expect(refused.status).toBe(401);
  expect(await refused.json()).toEqual({ reason: expect.stringContaining('a token is needed') });
});
