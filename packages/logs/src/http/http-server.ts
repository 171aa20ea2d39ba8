import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { type WebSocket, WebSocketServer } from 'ws';
import { LogsError } from '../errors.js';
import { AccessRule, type Refusal } from './access.js';
import { isLoopback } from './loopback.js';

/**
 * Checks the request for a WebSocket, and returns the handler of the open socket. A LogsError refuses the
 * handshake with status 400 and its message.
 */
export type SocketHandler = (request: IncomingMessage) => (socket: WebSocket) => void;

/** Routes and WebSockets of one concern. */
export interface HttpFeature {
  readonly routes: Hono;
  /** Mounted at `/` without access control, as `/ready` is. */
  readonly open?: Hono;
  readonly sockets?: ReadonlyMap<string, SocketHandler>;
  /** Sends the remaining data on open sockets, and closes them. */
  close?(): Promise<void>;
}

/** Port 0 binds a free port. */
export interface HttpAddress {
  readonly host: string;
  readonly port: number;
}

export interface Answer {
  readonly path: string;
  readonly status: number;
  readonly ms: number;
}

export interface HttpServerOptions {
  /** Name of the program: the realm of basic authentication. */
  readonly name: string;
  readonly address: HttpAddress;
  /** The user's option that chose the address, for error messages. */
  readonly option: string;
  /** The token that clients must present; null for none. It is required beyond loopback. */
  readonly token: string | null;
  /** Name of the token in messages; `a token` by default. */
  readonly tokenName?: string;
  readonly features: readonly HttpFeature[];
  /** Answer to a request that is not allowed; by default, the reason as text. */
  readonly refuse?: (refusal: Refusal) => Response;
  /** Called for every request except those for WebSockets. */
  readonly onAnswer?: (answer: Answer) => void;
}

export interface HttpServer {
  /** Address with the actual port. */
  readonly address: HttpAddress;
  /** Stops listening, gives the features two seconds to close, then ends all connections. */
  close(): Promise<void>;
  /** Closes as soon as all answers have been sent, or after `withinMs`. */
  drain(withinMs: number): Promise<void>;
}

const MAX_SOCKET_MESSAGE_BYTES = 1 << 16;
const CLOSE_MS = 2_000;

/**
 * Serves the features, and `GET /ready` without access control.
 *
 * @throws LogsError `BAD_INPUT` beyond loopback without a token, `NO_RESOURCE` if the port cannot be bound
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { name, address, option, token, tokenName = 'a token', features } = options;
  if (token === null && !isLoopback(address.host))
    throw new LogsError(
      'BAD_INPUT',
      `${option}: ${address.host} can be reached from other machines: ask for a token, or listen on 127.0.0.1`,
    );
  const rule = new AccessRule(name, token, tokenName);
  const server = createServer(getRequestListener(appOf(options, rule).fetch));
  const answers = unfinishedAnswers(server);
  const sockets = serveSockets(server, features, rule);
  const port = await bind(server, options);
  const close = async () => {
    server.close();
    await within(CLOSE_MS, Promise.all(features.map((feature) => feature.close?.())));
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
  };
  return {
    address: { ...address, port },
    close,
    async drain(withinMs) {
      await within(withinMs, answers.none());
      await close();
    },
  };
}

async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  const limit = sleep(ms, undefined, { signal: over.signal }).catch(() => undefined);
  await Promise.race([promise, limit]);
  over.abort();
}

/**
 * Counts answers that have not yet left the process. Node's own count excludes those that are written but not
 * yet accepted by the operating system: `server.close()` would cut them off.
 */
function unfinishedAnswers(server: Server): { none(): Promise<void> } {
  let count = 0;
  let whenNone: (() => void)[] = [];
  server.on('request', (_, response) => {
    count++;
    response.once('close', () => {
      if (--count > 0) return;
      for (const resolve of whenNone) resolve();
      whenNone = [];
    });
  });
  return {
    none: () => new Promise((resolve) => (count === 0 ? resolve() : whenNone.push(resolve))),
  };
}

type NodeBindings = { readonly Bindings: { readonly incoming: IncomingMessage } };

function appOf(
  { name, features, refuse, onAnswer }: HttpServerOptions,
  rule: AccessRule,
): Hono<NodeBindings> {
  const app = new Hono<NodeBindings>();
  app.use(async (c, next) => {
    const begunMs = performance.now();
    await next();
    c.header('X-Content-Type-Options', 'nosniff');
    c.header('Referrer-Policy', 'no-referrer');
    onAnswer?.({ path: c.req.path, status: c.res.status, ms: performance.now() - begunMs });
  });
  app.get('/ready', (c) => c.text('ready\n'));
  for (const { open } of features) if (open !== undefined) app.route('/', open);
  app.use(async (c, next) => {
    const refusal = rule.check(c.env.incoming);
    if (refusal !== null && refuse !== undefined) return refuse(refusal);
    if (refusal !== null) {
      c.header('WWW-Authenticate', `Basic realm="${name}", charset="UTF-8"`);
      return c.text(`${refusal.reason}\n`, refusal.status);
    }
    await next();
    const cookie = rule.setCookie(c.env.incoming);
    if (cookie !== null) c.header('Set-Cookie', cookie);
  });
  for (const feature of features) app.route('/', feature.routes);
  return app;
}

function serveSockets(server: Server, features: readonly HttpFeature[], rule: AccessRule): WebSocketServer {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_SOCKET_MESSAGE_BYTES });
  const handlers = new Map(features.flatMap((feature) => [...(feature.sockets ?? [])]));
  server.on('upgrade', (request, socket, head) => {
    // Node removes its own error handler on upgrade.
    socket.on('error', () => socket.destroy());
    try {
      const refusal = rule.check(request);
      if (refusal !== null) return refuse(socket, refusal.status);
      const path = pathOf(request);
      if (path === null) return refuse(socket, 400);
      const handler = handlers.get(path);
      if (handler === undefined) return refuse(socket, 404);
      const take = handler(request);
      sockets.handleUpgrade(request, socket, head, (open) => {
        open.on('error', () => open.terminate());
        try {
          take(open);
        } catch {
          open.close(1011);
        }
      });
    } catch (error) {
      if (error instanceof LogsError) return refuse(socket, 400, error.message);
      // An uncaught error would end the process.
      socket.destroy();
    }
  });
  return sockets;
}

/** Returns the path of a request; null if its target is not a valid URL. */
function pathOf({ url = '' }: IncomingMessage): string | null {
  return URL.canParse(url, BASE) ? new URL(url, BASE).pathname : null;
}

const BASE = 'http://localhost';

function refuse(socket: Duplex, status: 400 | 401 | 403 | 404, reason = ''): void {
  // A client that keeps its end open must not keep the socket open.
  socket.once('finish', () => socket.destroy());
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(reason)}`,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${reason}`);
}

function bind(server: Server, { address, option }: HttpServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    // The listener stays after the start, for errors of accept; the promise ignores them.
    server.on('error', (error) =>
      reject(
        new LogsError(
          'NO_RESOURCE',
          `port ${address.port} on ${address.host} cannot be used (${error.message}); choose another with ${option}, or 0 for a free one`,
        ),
      ),
    );
    server.listen(address.port, address.host, () => resolve((server.address() as AddressInfo).port));
  });
}
