import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { RunHttp } from './support.js';

/** Interval of the polls in packages/page/src/browser: main.ts, overview/run-data.ts, overview/overview.ts. */
const POLL_MS = 1_500;
const LIST_EVERY = 4;
const SLOW_MS = 5_000;
const LOGS_EVERY_MS = 6_000;
/** Step of overview/log-activity.ts for a run of less than two minutes. */
const COUNT_MS = 1_000;
const MARGIN_MS = 60_000;
const LATE_MS = 5_000;
const TIMEOUT_MS = 30_000;

/** Fields that are read of replies. */
interface Reply {
  readonly runs?: readonly { readonly runId: string }[];
  readonly startedAt?: string;
  readonly step?: number;
  readonly cursor?: string;
}

/**
 * Asks for a live run what the page asks while its overview is open, at the same pace, and tails the run's log; draws
 * nothing.
 */
export class OpenPage {
  numReplies = 0;
  numLines = 0;
  #runId = '';
  #step = 0;
  /** Cursors by the path whose replies hold only what is new. */
  readonly #cursors = new Map<string, string>();
  #slowAt = Number.NEGATIVE_INFINITY;
  #logsAt = Number.NEGATIVE_INFINITY;
  /** Time up to which all log lines are counted, in ms since 1970; 0 at first. */
  #countedMs = 0;
  #tail: WebSocket | null = null;

  constructor(readonly http: RunHttp) {}

  /** Polls until the run is at a step. @throws Error if a request fails, or nothing was tailed */
  async until(step: number): Promise<void> {
    try {
      for (let poll = 0; this.#step < step; poll++)
        await Promise.all([this.#poll(poll % LIST_EVERY === 0), sleep(POLL_MS)]);
    } finally {
      this.#tail?.terminate();
    }
    if (this.numLines === 0) throw new Error('the tail brought no lines');
  }

  async #poll(withList: boolean): Promise<void> {
    if (withList || this.#runId === '') this.#runId = (await this.#get('/api/runs')).runs?.[0]?.runId ?? '';
    if (this.#runId === '') return;
    this.#tail ??= this.#openTail();
    const run = `/api/runs/${this.#runId}`;
    const [{ step = 0, startedAt = '' }] = await Promise.all([
      this.#get(run),
      this.#getNew(`${run}/metrics?layer=all`),
      this.#getSlow(run),
    ]);
    this.#step = step;
    await this.#getLogs(Date.parse(startedAt));
  }

  /** Expert load and rank lanes. */
  async #getSlow(run: string): Promise<void> {
    if (performance.now() - this.#slowAt <= SLOW_MS) return;
    this.#slowAt = performance.now();
    await Promise.all([this.#getNew(`${run}/experts?`), this.#getNew(`${run}/ranks?`)]);
  }

  /** Counts of lines by rank and level, and the first error. */
  async #getLogs(startedMs: number): Promise<void> {
    if (performance.now() - this.#logsAt < LOGS_EVERY_MS) return;
    this.#logsAt = performance.now();
    const firstMs = COUNT_MS * Math.floor((startedMs - MARGIN_MS) / COUNT_MS);
    const askedMs = Date.now();
    const untilMs = COUNT_MS * Math.ceil((askedMs + MARGIN_MS) / COUNT_MS);
    const range = [Math.max(firstMs, this.#countedMs) + COUNT_MS, untilMs + COUNT_MS] as const;
    const count = (lines: string) =>
      this.#query(`sum by (rank, level) (count_over_time(${lines}[${COUNT_MS}ms]))`, range, {
        limit: '100',
        direction: 'backward',
        step: `${COUNT_MS}ms`,
      });
    const ofRun = `run="${this.#runId}"`;
    const firstError = this.#query(
      `{${ofRun}, generation="1", level=~"error|fatal|critical"}`,
      [firstMs, untilMs],
      { limit: '1', direction: 'forward' },
    );
    const counts = async () => {
      await count(`{${ofRun}}`);
      await count(`{${ofRun}, source="coordinator", level=~"warn|error|fatal"} | json | rank != ""`);
    };
    await Promise.all([firstError, counts()]);
    this.#countedMs = COUNT_MS * Math.floor((askedMs - LATE_MS) / COUNT_MS);
  }

  /** @param range ms since 1970 */
  async #query(
    query: string,
    range: readonly [number, number],
    others: Readonly<Record<string, string>>,
  ): Promise<void> {
    const ns = (ms: number) => String(BigInt(ms) * 1_000_000n);
    const [start, end] = [ns(range[0]), ns(range[1])];
    await this.#get(`/loki/api/v1/query_range?${new URLSearchParams({ query, start, end, ...others })}`);
  }

  async #getNew(path: string): Promise<void> {
    const after = this.#cursors.get(path);
    const { cursor = '' } = await this.#get(after === undefined ? path : `${path}&after=${after}`);
    this.#cursors.set(path, cursor);
  }

  async #get(path: string): Promise<Reply> {
    const response = await fetch(`http://${this.http.address}${path}`, {
      headers: this.http.headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    this.numReplies++;
    return JSON.parse(text);
  }

  #openTail(): WebSocket {
    const query = encodeURIComponent(`{run="${this.#runId}"}`);
    const tail = new WebSocket(`ws://${this.http.address}/loki/api/v1/tail?query=${query}&limit=100`, {
      headers: this.http.headers,
    });
    // It is found by the lines that are missing.
    tail.on('error', () => undefined);
    tail.on('message', (data) => {
      for (const { values } of JSON.parse(String(data)).streams) this.numLines += values.length;
    });
    return tail;
  }
}
