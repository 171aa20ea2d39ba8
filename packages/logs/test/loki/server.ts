import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { startHttpServer } from '../../src/http/http-server.js';
import { type LokiActivity, lokiFeature } from '../../src/loki/loki-feature.js';
import { T0, TestRuns } from '../support.js';

export type Query = Readonly<Record<string, string | number>>;

/** A server of Loki's API, closed after the test. */
export class TestLoki {
  private constructor(
    readonly runs: TestRuns,
    readonly url: string,
    /** Closes the server. */
    readonly close: () => Promise<void>,
    readonly activity: () => LokiActivity,
  ) {}

  static async start(): Promise<TestLoki> {
    const runs = new TestRuns();
    const feature = lokiFeature(runs.catalog, '1.2.3');
    const server = await startHttpServer({
      address: { host: '127.0.0.1', port: 0 },
      name: 'test',
      option: '--http',
      token: null,
      features: [feature],
    });
    onTestFinished(() => server.close());
    return new TestLoki(runs, `http://127.0.0.1:${server.address.port}`, server.close, feature.activity);
  }

  address(path: string, query: Query | URLSearchParams = {}): string {
    const values = Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]);
    const search = query instanceof URLSearchParams ? query : new URLSearchParams(values);
    return `${this.url}/loki/api/v1/${path}?${search}`;
  }

  /** The JSON of a successful answer. */
  async get(path: string, query: Query | URLSearchParams = {}, init: RequestInit = {}): Promise<LokiAnswer> {
    const response = await fetch(this.address(path, query), init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** A tail that collects its messages; closed after the test. */
  tail(
    query: Query,
    headers: Readonly<Record<string, string>> = {},
    { autoPong = true } = {},
  ): {
    socket: WebSocket;
    messages: TailMessage[];
    lines: () => string[];
    closed: Promise<string>;
  } {
    const socket = new WebSocket(this.address('tail', query).replace('http', 'ws'), { headers, autoPong });
    const messages: TailMessage[] = [];
    socket.on('message', (data) => messages.push(JSON.parse(String(data))));
    socket.on('error', () => undefined);
    const closed = new Promise<string>((resolve) => {
      socket.on('close', (code, reason) => resolve(`${code} ${reason}`));
    });
    onTestFinished(() => socket.terminate());
    const lines = () =>
      messages
        .flatMap(({ streams }) => streams.flatMap(({ values }) => values))
        .sort(([a], [b]) => (BigInt(a) < BigInt(b) ? -1 : 1))
        .map(([, line]) => line);
    return { socket, messages, lines, closed };
  }
}

export interface TailMessage {
  readonly streams: { stream: Record<string, string>; values: [string, string, object?][] }[];
  readonly dropped_entries: { labels: Record<string, string>; timestamp: string }[] | null;
}

/** Converts milliseconds since T0 to nanoseconds since 1970. */
export function ns(atMs: number): string {
  return `${T0 + atMs}000000`;
}

/** Tests compare answers whole. */
// biome-ignore lint/suspicious/noExplicitAny: the shape is what is tested
export type LokiAnswer = any;
