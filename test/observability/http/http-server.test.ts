import { Hono } from 'hono';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { TOKEN_COOKIE } from '../../../src/observability/http/access.js';
import { type HttpServer, startHttpServer } from '../../../src/observability/http/http-server.js';
import { formatAddress } from '../../../src/rpc/address.js';

const TOKEN = 'a-token-of-sixteen-characters';
let server: HttpServer;
afterEach(() => server.close());

async function start(token: string | null, host = '127.0.0.1'): Promise<string> {
  server = await startHttpServer({
    address: { host, port: 0 },
    option: '--http',
    token,
    features: [
      {
        routes: new Hono().get('/hello', (c) => c.text('hello')),
        sockets: new Map([['/echo', (socket) => socket.on('message', (data) => socket.send(String(data)))]]),
      },
    ],
  });
  return `http://${formatAddress({ ...server.address, host: '127.0.0.1' })}`;
}

/** What a WebSocket client sees first: an echo, or a refusal. */
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

describe('with a token', () => {
  it('answers whoever gives it, in each way', async () => {
    const url = await start(TOKEN, '0.0.0.0');
    const basic = Buffer.from(`anyone:${TOKEN}`).toString('base64');
    for (const headers of [
      { authorization: `Bearer ${TOKEN}` },
      { authorization: `Basic ${basic}` },
      { cookie: `a=b; ${TOKEN_COOKIE}=${TOKEN}` },
    ])
      expect((await fetch(`${url}/hello`, { headers })).status).toBe(200);
    const opened = await fetch(`${url}/hello?token=${TOKEN}`);
    expect(opened.status).toBe(200);
    expect(opened.headers.get('set-cookie')).toContain(`${TOKEN_COOKIE}=${TOKEN}; HttpOnly; SameSite=Strict`);
    expect(await socketOutcome(`${url}/echo`, { authorization: `Bearer ${TOKEN}` })).toBe('hi');
  });

  it('refuses the others, but for /ready', async () => {
    const url = await start(TOKEN, '0.0.0.0');
    for (const headers of [{}, { authorization: 'Bearer wrong' }, { cookie: `${TOKEN_COOKIE}=wrong` }])
      expect((await fetch(`${url}/hello`, { headers })).status).toBe(401);
    expect((await fetch(`${url}/nowhere`)).status).toBe(401);
    expect(await socketOutcome(`${url}/echo`)).toContain('401');
    expect(await (await fetch(`${url}/ready`)).text()).toBe('ready\n');
  });
});

describe('without a token', () => {
  it('does not listen beyond loopback', async () => {
    await expect(start(null, '0.0.0.0')).rejects.toThrow(/--http 0\.0\.0\.0:0 .*--token-file/);
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
  await expect(startHttpServer({ address, option: '--http', token: null, features: [] })).rejects.toThrow(
    new RegExp(`port ${address.port} on 127.0.0.1 .*--http`),
  );
});
