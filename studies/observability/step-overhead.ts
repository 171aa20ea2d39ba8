// Measures what observation costs a step: two trainings, one with everything on and one with everything off, go on in turns.
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findRun, type MetricsRecordOf, readRecords } from '@locmoe/run-format';
import { processTree } from 'locmoe/internal/os/process-info';
import { mean, median, quantile } from '../../packages/bench/src/statistics.js';
import { endOf, startLocmoe } from '../kit/locmoe.js';
import { type Bench, cpuSecondsOfAll, httpOf, inFolder, startTraining } from './support.js';

const WARM_UP_STEPS = 40;
const START_TIMEOUT_MS = 120_000;
const POLL_MS = 100;
/** One training stands still while the other goes on for this long. */
const TURN_MS = 2_500;
/** Part of a turn that is left out, until caches are warm again. */
const SETTLE_MS = 300;
const PAIRS = 40;
/** Scrape interval of deploy/observability/prometheus.yml. */
const SCRAPE_INTERVAL_MS = 5_000;
const SCRAPE_TIMEOUT_MS = 5_000;
const INTERRUPTED = 130;
/** More than are done in the time. */
const STEPS = 1_000_000;

interface Turn {
  readonly side: Side;
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Two trainings of the same steps, each of which stands still while the other goes on: one with everything on (debug
 * logs, `/metrics` scraped every five seconds, a client that follows the log, TensorBoard event files), one with everything
 * off (no HTTP, error logs only). A pair of neighbouring turns lies within seconds, so that the drift of the machine
 * cancels out. Needs `npm run build`.
 *
 * @throws Error if a run fails, or if its observers saw nothing
 */
export const benchStepOverhead: Bench = () =>
  inFolder(async (folder) => {
    const [on, off] = [new WatchedSide(path.join(folder, 'on')), new Side(path.join(folder, 'off'), OFF)];
    try {
      await Promise.all([on.warm(), off.warm()]);
      for (const side of [on, off]) side.pause();
      const turns: Turn[] = [];
      for (let pair = 0; pair < PAIRS; pair++)
        for (const side of pair % 2 === 0 ? [on, off] : [off, on]) turns.push(await side.takeTurn());
      await Promise.all([on.end(), off.end()]);
      return figures(turns, on, off);
    } finally {
      for (const side of [on, off]) side.kill();
    }
  });

function figures(turns: readonly Turn[], on: WatchedSide, off: Side) {
  const means = turns.map((turn) => turn.side.meanStepMs(turn));
  const ratios = Array.from({ length: PAIRS }, (_, pair) => {
    const [first, second] = [means[2 * pair]!, means[2 * pair + 1]!];
    return turns[2 * pair]!.side === on ? first / second : second / first;
  });
  const { scrapes, logLines, eventBytes } = on.seen();
  const cpuOf = (side: Side) => KINDS.reduce((sum, kind) => sum + side.cpuOfStep(kind, turns), 0);
  const more = (kind: Kind) => {
    const ms = 1e3 * (on.cpuOfStep(kind, turns) - off.cpuOfStep(kind, turns));
    return `${ms.toFixed(1)} ms of the ${kind}`;
  };
  const stepMs = median(means.filter((_, i) => turns[i]!.side === off));
  const quartiles = [0.25, 0.75].map((share) => quantile(ratios, share).toFixed(3)).join(' to ');
  return {
    stepTimeWithVsWithout: {
      value: median(ratios),
      note: `half of ${PAIRS} pairs of turns ${quartiles}; ${stepMs.toFixed(1)} ms a step; ${scrapes} scrapes, ${logLines} log lines, ${eventBytes} bytes of events`,
    },
    stepCpuWithVsWithout: {
      value: cpuOf(on) / cpuOf(off),
      note: `${(1e3 * cpuOf(off)).toFixed(1)} ms a step without; on top ${KINDS.map(more).join(', ')}`,
    },
  };
}

/** Kinds of processes; a worker's command line is neither of the others'. */
const KINDS = ['coordinator', 'agent', 'workers'] as const;
type Kind = (typeof KINDS)[number];

const OFF = ['--no-http', '--set', 'logLevel=error'];

/** A training that goes on in turns. */
class Side {
  protected readonly run: ChildProcess;
  #pids: readonly number[] = [];
  readonly #cpuSeconds = new Map<Kind, number>();

  constructor(
    readonly folder: string,
    options: readonly string[],
  ) {
    const sets = ['steps', 'validateEvery', 'checkpointEvery'].map((name) => `train.${name}=${STEPS}`);
    this.run = startTraining({ runsDir: path.join(folder, 'runs'), layout: [1, 2], sets, more: options });
    this.run.stdout?.resume();
  }

  /** @throws Error if its first steps take too long */
  async warm(): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (this.#steps().length < WARM_UP_STEPS) {
      if (performance.now() > deadline || this.run.exitCode !== null)
        throw new Error(`the training in ${this.folder} did not come to step ${WARM_UP_STEPS}`);
      await sleep(POLL_MS);
    }
    this.#pids = processTree([this.run.pid!]);
  }

  pause(): void {
    for (const pid of this.#pids) process.kill(pid, 'SIGSTOP');
  }

  async takeTurn(): Promise<Turn> {
    const before = this.#cpuByKind();
    const fromMs = Date.now();
    for (const pid of this.#pids) process.kill(pid, 'SIGCONT');
    await sleep(TURN_MS);
    this.pause();
    for (const [kind, seconds] of this.#cpuByKind())
      this.#cpuSeconds.set(kind, (this.#cpuSeconds.get(kind) ?? 0) + seconds - (before.get(kind) ?? 0));
    return { side: this, fromMs, toMs: Date.now() };
  }

  async end(): Promise<void> {
    for (const pid of this.#pids) process.kill(pid, 'SIGCONT');
    this.run.kill('SIGTERM');
    await endOf(this.run, 'the training', [INTERRUPTED]);
  }

  kill(): void {
    for (const pid of processTree([this.run.pid!])) process.kill(pid, 'SIGKILL');
  }

  /** Returns the mean time of the steps that lie within a turn. */
  meanStepMs({ fromMs, toMs }: Turn): number {
    const steps = this.#steps().filter(
      ({ time, stepMs }) => time - stepMs >= fromMs + SETTLE_MS && time <= toMs,
    );
    return mean(steps.map(({ stepMs }) => stepMs));
  }

  /** Processor time in s. */
  cpuOfStep(kind: Kind, turns: readonly Turn[]): number {
    const own = turns.filter(({ side }) => side === this);
    const steps = this.#steps().filter(({ time }) =>
      own.some(({ fromMs, toMs }) => fromMs <= time && time <= toMs),
    );
    return (this.#cpuSeconds.get(kind) ?? 0) / steps.length;
  }

  #cpuByKind(): Map<Kind, number> {
    const kindOf = (pid: number): Kind => {
      if (pid === this.run.pid) return 'coordinator';
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('\0node\0') ? 'agent' : 'workers';
    };
    const pidsOf = (kind: Kind) => this.#pids.filter((pid) => kindOf(pid) === kind);
    return new Map(KINDS.map((kind) => [kind, cpuSecondsOfAll(pidsOf(kind))]));
  }

  #steps(): MetricsRecordOf<'step'>[] {
    try {
      const { metrics } = findRun(path.join(this.folder, 'runs')).folder;
      return readRecords(metrics).filter((record) => record.type === 'step');
    } catch {
      // There is no run yet.
      return [];
    }
  }
}

/** A training with everything that observes it. */
class WatchedSide extends Side {
  #scrapes = 0;
  #logLines = 0;
  #isOver = false;
  #tail: ChildProcess | null = null;
  readonly #watching: Promise<void>;

  constructor(folder: string) {
    super(folder, [
      ...['--http', '127.0.0.1:0', '--linger', '0', '--set', 'logLevel=debug'],
      ...['--tensorboard', path.join(folder, 'events')],
    ]);
    this.#watching = this.#watch();
  }

  override async end(): Promise<void> {
    this.#isOver = true;
    await super.end();
    await this.#watching;
    // The end of the run is expected.
    if (this.#tail !== null) await endOf(this.#tail, 'locmoe logs --follow', [0, 2]);
  }

  override kill(): void {
    super.kill();
    this.#tail?.kill('SIGKILL');
  }

  /** Returns what the observers received. @throws Error if one of them got nothing */
  seen(): { readonly scrapes: number; readonly logLines: number; readonly eventBytes: number } {
    const events = path.join(this.folder, 'events');
    const files = readdirSync(events, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /tfevents/.test(name),
    );
    const eventBytes = files.reduce((sum, name) => sum + readFileSync(path.join(events, name)).length, 0);
    const seen = { scrapes: this.#scrapes, logLines: this.#logLines, eventBytes };
    if (Math.min(...Object.values(seen)) === 0)
      throw new Error(`nothing was watched: ${JSON.stringify(seen)}`);
    return seen;
  }

  async #watch(): Promise<void> {
    const { address, headers } = await httpOf(this.run);
    this.#follow();
    while (!this.#isOver) {
      const signal = AbortSignal.timeout(SCRAPE_TIMEOUT_MS);
      const text = await fetch(`http://${address}/metrics`, { signal, headers }).then(
        (response) => response.text(),
        // The run may have ended.
        () => '',
      );
      if (text.includes('locmoe_')) this.#scrapes++;
      await sleep(SCRAPE_INTERVAL_MS);
    }
  }

  #follow(): void {
    const runs = path.join(this.folder, 'runs');
    const args = ['logs', '--runs-dir', runs, '--follow', '--level', 'debug', '--json'];
    this.#tail = startLocmoe(args, { errors: 'ignore' });
    this.#tail.stdout?.on('data', (chunk: Buffer) => {
      for (const byte of chunk) if (byte === 0x0a) this.#logLines++;
    });
  }
}
