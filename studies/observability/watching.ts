import { setTimeout as sleep } from 'node:timers/promises';
import { findRun, readRecords } from '@locmoe/run-format';
import { processTree } from 'locmoe/internal/os/process-info';
import { WebSocket } from 'ws';
import { median } from '../../packages/bench/src/statistics.js';
import { endOf } from '../kit/locmoe.js';
import {
  type Bench,
  cpuSecondsOfAll,
  type Found,
  httpOf,
  inFolder,
  type RunHttp,
  startTraining,
} from './support.js';

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
class OpenPage {
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

// Processor time that an open page and a live tail cost a run, as a share of that of its steps.

const PAIRS = 3;
/** Processor time is taken between these: before, a run warms up. */
const FIRST_STEP = 20;
const LAST_STEP = 120;
/** The page closes before the run ends, which takes a poll. */
const STEPS = 140;
const SAMPLE_MS = 250;

/** Processor time in s, of all processes of a run and of its coordinator's alone. */
interface CpuTime {
  readonly tree: number;
  readonly coordinator: number;
}

interface Sample extends CpuTime {
  /** Wall clock, ms since 1970. */
  readonly timeMs: number;
}

interface Pair {
  readonly watched: CpuTime;
  readonly alone: CpuTime;
}

/**
 * Runs in pairs, one with a client that asks what an open page asks and tails the log, one without. The order
 * alternates, so that drift of the machine affects both. Needs `npm run build`.
 *
 * @throws Error if a run fails, or if its client saw nothing
 */
export const benchWatching: Bench = async () => {
  const pages: OpenPage[] = [];
  const watch = async (http: RunHttp) => {
    const page = new OpenPage(http);
    pages.push(page);
    await page.until(LAST_STEP);
  };
  const pairs: Pair[] = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    const isWatchedFirst = pair % 2 === 0;
    const first = await cpuOfStep(isWatchedFirst ? watch : null);
    const second = await cpuOfStep(isWatchedFirst ? null : watch);
    pairs.push(isWatchedFirst ? { watched: first, alone: second } : { watched: second, alone: first });
  }
  const stepMs = 1e3 * median(pairs.map(({ alone }) => alone.tree));
  const [numReplies, numLines] = [pages.map((page) => page.numReplies), pages.map((page) => page.numLines)];
  return {
    watchingCost: figure(
      pairs,
      'coordinator',
      `${stepMs.toFixed(0)} ms a step; ${median(numReplies)} replies and ${median(numLines)} lines a run`,
    ),
    watchingCostOfAllProcesses: figure(pairs, 'tree', 'with all else that differs between two runs'),
  };
};

function figure(pairs: readonly Pair[], part: keyof CpuTime, note: string): Found {
  const shares = pairs.map(({ watched, alone }) => (watched[part] - alone[part]) / alone.tree);
  const spread = `${Math.min(...shares).toFixed(4)} to ${Math.max(...shares).toFixed(4)}, n=${shares.length}`;
  return { value: median(shares), note: `${spread}; ${note}` };
}

/** Processor time of a step of one run, with what watches it. */
function cpuOfStep(watch: ((http: RunHttp) => Promise<void>) | null): Promise<CpuTime> {
  return inFolder(async (folder) => {
    const sets = [`train.steps=${STEPS}`, `train.validateEvery=${STEPS}`, `train.checkpointEvery=${STEPS}`];
    const run = startTraining({ runsDir: folder, layout: [2, 2], sets, more: ['--linger', '0'] });
    const samples: Sample[] = [];
    const sampling = setInterval(() => samples.push(sampleOf(run.pid!)), SAMPLE_MS);
    try {
      await Promise.all([endOf(run, 'the training'), httpOf(run).then((http) => watch?.(http))]);
    } finally {
      clearInterval(sampling);
      run.kill('SIGTERM');
    }
    const times = new Map(
      readRecords(findRun(folder).folder.metrics).flatMap((record) =>
        record.type === 'step' ? [[record.step, record.time] as const] : [],
      ),
    );
    const cpuAtStep = (step: number) => cpuAt(samples, times.get(step) ?? Number.NaN);
    const [first, last] = [cpuAtStep(FIRST_STEP), cpuAtStep(LAST_STEP)];
    const ofStep = (part: keyof CpuTime) => (last[part] - first[part]) / (LAST_STEP - FIRST_STEP);
    return { tree: ofStep('tree'), coordinator: ofStep('coordinator') };
  });
}

function sampleOf(coordinator: number): Sample {
  const timeMs = Date.now();
  const tree = cpuSecondsOfAll(processTree([coordinator]));
  return { timeMs, tree, coordinator: cpuSecondsOfAll([coordinator]) };
}

/** Between two samples, in proportion. */
function cpuAt(samples: readonly Sample[], timeMs: number): CpuTime {
  const next = samples.findIndex((sample) => sample.timeMs >= timeMs);
  if (next < 1) throw new Error(`no processor time was taken around ${timeMs}`);
  const [before, after] = [samples[next - 1]!, samples[next]!];
  const share = (timeMs - before.timeMs) / (after.timeMs - before.timeMs);
  const at = (part: keyof CpuTime) => before[part] + share * (after[part] - before[part]);
  return { tree: at('tree'), coordinator: at('coordinator') };
}
