import { connect } from 'node:net';
import fc from 'fast-check';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { WebSocket } from 'ws';
import { NIGHTLY } from '../../../../test/nightly.js';
import { type HttpServer, startHttpServer } from '../../src/http/http-server.js';

const SEED = 20_260_101;
const TOKEN = 'a-token-of-sixteen-characters';
const ANSWER_MS = 200;

const servers = new Map<string | null, HttpServer>();

beforeAll(async () => {
  for (const token of [null, TOKEN])
    servers.set(
      token,
      await startHttpServer({
        address: { host: '127.0.0.1', port: 0 },
        name: 'test',
        option: '--http',
        token,
        features: [
          {
            routes: new Hono().get('/hello', (c) => c.text('hello')),
            sockets: new Map([
              ['/echo', () => (socket) => socket.on('message', (data) => socket.send(data))],
            ]),
          },
        ],
      }),
    );
});

afterAll(async () => {
  for (const server of servers.values()) await server.close();
});

/** Sends bytes, then closes or resets the connection, after an answer or a short time. */
function send(port: number, bytes: Buffer, resets: boolean): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    const leave = () => (resets ? socket.resetAndDestroy() : socket.destroy());
    const timer = setTimeout(leave, ANSWER_MS);
    socket.once('data', leave);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Whether a valid request and a valid WebSocket are answered. */
async function answers(server: HttpServer, token: string | null): Promise<boolean> {
  const { port } = server.address;
  const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
  const hello = await fetch(`http://127.0.0.1:${port}/hello`, {
    headers,
    signal: AbortSignal.timeout(60_000),
  });
  const echoed = await new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/echo`, { headers, handshakeTimeout: 60_000 });
    socket.on('open', () => socket.send('hi'));
    socket.on('message', (data) => {
      resolve(String(data));
      socket.close();
    });
    socket.on('error', (error) => resolve(error.message));
  });
  return (await hello.text()) === 'hello' && echoed === 'hi';
}

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array).toString('latin1'));
/** Strings with a meaning in URLs, which are combined at random. */
const URL_PARTS = [
  '/',
  '?',
  '#',
  '%',
  '%00',
  '%0d%0a',
  '[',
  ']',
  '@',
  ':',
  '\\',
  '..',
  'http:',
  'token=',
  TOKEN,
  'echo',
  'é',
];
const target = fc.oneof(
  fc.array(fc.constantFrom(...URL_PARTS), { maxLength: 8 }).map((parts) => parts.join('')),
  fc.constantFrom('/echo', '/hello', '*', '//', 'http://[/', 'http://a:b:c/'),
  fc.webUrl({ withQueryParameters: true, withFragments: true }),
  bytes,
);
const UPGRADE = `Host: 127.0.0.1
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==`.split('\n');
const HEADERS = `Host: [::1
Host:
Origin: null
Origin: http://[
Cookie: locmoe-token=%
Cookie: ;;=
Authorization: Basic !
Authorization: Bearer
Authorization: Bearer ${TOKEN}
Upgrade: h2c
Sec-WebSocket-Extensions: permessage-deflate; =
Content-Length: 5
Transfer-Encoding: chunked
Expect: 100-continue`.split('\n');
const header = fc.oneof(fc.constantFrom(...UPGRADE, ...HEADERS), bytes);

const request = fc
  .record({
    method: fc.oneof(fc.constantFrom('GET', 'POST', 'CONNECT', 'PRI', 'OPTIONS'), bytes),
    target,
    headers: fc.oneof(
      fc.array(header, { maxLength: 6 }),
      fc.array(header, { maxLength: 2 }).map((more) => [...UPGRADE, ...more]),
    ),
    body: fc.oneof(fc.constant(''), bytes),
  })
  .map(({ method, target: to, headers, body }) =>
    Buffer.from(`${method} ${to} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n${body}`, 'latin1'),
  );

describe.each([
  ['without a token', null],
  ['with a token', TOKEN],
])('whatever is sent, a server %s still answers', (_what, token) => {
  it('made-up requests and upgrades', async () => {
    const server = servers.get(token)!;
    const batch = fc.array(
      fc.tuple(
        fc.oneof(
          { weight: 4, arbitrary: request },
          bytes.map((text) => Buffer.from(text, 'latin1')),
        ),
        fc.boolean(),
      ),
      { minLength: 40, maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(batch, async (messages) => {
        await Promise.all(messages.map(([message, resets]) => send(server.address.port, message, resets)));
        return answers(server, token);
      }),
      { seed: SEED, numRuns: NIGHTLY ? 10 : 3, endOnFailure: true },
    );
  });
});
