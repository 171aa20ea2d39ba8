import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatTable } from 'locmoe/format';
import { readRecords } from 'locmoe/run/metrics-record';
import { findRun } from 'locmoe/run/run-folder';
import { addressOf, endOf, locmoe } from './locmoe-process.js';
import type { Measurement } from './support.js';

const WARM_UP_STEPS = 20;
const SCRAPE_INTERVAL_MS = 1_000;
const SCRAPE_TIMEOUT_MS = 5_000;

export interface StepOverheadOptions {
  readonly recipe: string;
  readonly steps: number;
  /** Pairs of runs, one with observation and one without. */
  readonly pairs: number;
  readonly nodes: number;
  readonly workersPerNode: number;
}

const DEFAULTS: StepOverheadOptions = { recipe: 'tiny', steps: 120, pairs: 5, nodes: 1, workersPerNode: 2 };

export interface StepOverhead extends StepOverheadOptions {
  /** Ratio of median step times over all runs, with to without observation. */
  readonly stepTimeWithVsWithout: number;
  /** Range of the ratios of single pairs. */
  readonly pairRatios: { readonly least: number; readonly median: number; readonly most: number };
  readonly medianStepMs: { readonly with: number; readonly without: number };
  /** Totals received by the observers, as proof that they saw something. */
  readonly observed: { readonly scrapes: number; readonly logLines: number; readonly eventBytes: number };
}

interface Observed {
  scrapes: number;
  logLines: number;
  eventBytes: number;
}

/**
 * Overhead of observation on step time: short runs in pairs, one with everything on (debug logs, `/metrics`
 * scraped every second, a client that follows the log, TensorBoard event files), one with everything off (no
 * HTTP, error logs only). The order alternates, so that drift of the machine affects both. Prints a table and
 * a line of JSON.
 *
 * @throws Error if a run fails, or if its observers saw nothing
 */
async function measureStepOverhead(options: Partial<StepOverheadOptions> = {}): Promise<StepOverhead> {
  const settings = { ...DEFAULTS, ...options };
  const observed: Observed = { scrapes: 0, logLines: 0, eventBytes: 0 };
  const pairs: { readonly with: number[]; readonly without: number[] }[] = [];
  for (let pair = 0; pair < settings.pairs; pair++) {
    const watched = () => stepTimes(settings, observed);
    const alone = () => stepTimes(settings, null);
    const isWatchedFirst = pair % 2 === 0;
    const first = await (isWatchedFirst ? watched() : alone());
    const second = await (isWatchedFirst ? alone() : watched());
    pairs.push(isWatchedFirst ? { with: first, without: second } : { with: second, without: first });
  }
  const result = resultOf(settings, pairs, observed);
  print(result, pairs);
  return result;
}

function resultOf(
  settings: StepOverheadOptions,
  pairs: readonly { readonly with: number[]; readonly without: number[] }[],
  observed: Observed,
): StepOverhead {
  const withMs = median(pairs.flatMap((pair) => pair.with));
  const withoutMs = median(pairs.flatMap((pair) => pair.without));
  const ratios = pairs.map((pair) => median(pair.with) / median(pair.without));
  return {
    ...settings,
    stepTimeWithVsWithout: withMs / withoutMs,
    pairRatios: { least: Math.min(...ratios), median: median(ratios), most: Math.max(...ratios) },
    medianStepMs: { with: withMs, without: withoutMs },
    observed: { ...observed },
  };
}

function print(result: StepOverhead, pairs: readonly { with: number[]; without: number[] }[]): void {
  const { recipe, steps, nodes, workersPerNode, observed, pairRatios, stepTimeWithVsWithout } = result;
  console.log(
    `step time with observation and without: ${recipe}, ${nodes} x ${workersPerNode} workers, ${steps} steps (${WARM_UP_STEPS} to warm up), ${cpus().length} x ${cpus()[0].model}, Node ${process.versions.node}, times in ms\n`,
  );
  const rows = pairs.map((pair, i) => {
    const [on, off] = [median(pair.with), median(pair.without)];
    return [`pair ${i + 1}`, on.toFixed(2), off.toFixed(2), (on / off).toFixed(3)];
  });
  console.log(formatTable([['', 'with', 'without', 'ratio'], ...rows]));
  console.log(
    `\nstepTimeWithVsWithout ${stepTimeWithVsWithout.toFixed(3)} (pairs ${pairRatios.least.toFixed(3)} to ${pairRatios.most.toFixed(3)}); ${observed.scrapes} scrapes, ${observed.logLines} log lines followed, ${observed.eventBytes} bytes of events`,
  );
  console.log(JSON.stringify(result));
}

/** Timed step durations of one run in ms; with `observed`, under full observation. */
async function stepTimes(options: StepOverheadOptions, observed: Observed | null): Promise<number[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-overhead-'));
  try {
    const run = train(options, folder, observed !== null);
    const watching = observed === null ? null : new Watchers(run, folder, observed);
    try {
      await endOf(run, 'the training');
    } finally {
      await watching?.end();
    }
    return readRecords(findRun(path.join(folder, 'runs')).folder.metrics)
      .flatMap((record) => (record.type === 'step' ? record.stepMs : []))
      .slice(WARM_UP_STEPS);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function train(options: StepOverheadOptions, folder: string, isWatched: boolean): ChildProcess {
  const { recipe, steps, nodes, workersPerNode } = options;
  const sets = [
    ...[`train.steps=${steps}`, `train.validateEvery=${steps}`, `train.checkpointEvery=${steps}`],
    `logLevel=${isWatched ? 'debug' : 'error'}`,
  ];
  const args = [
    ...['train', '--config', recipe, '--runs-dir', path.join(folder, 'runs'), '--no-samples'],
    ...['--nodes', String(nodes), '--workers-per-node', String(workersPerNode)],
    ...sets.flatMap((set) => ['--set', set]),
    ...(isWatched ? ['--tensorboard', path.join(folder, 'events'), '--linger', '0'] : ['--no-http']),
  ];
  return locmoe(args, 'inherit');
}

/** The observers of a run. */
class Watchers {
  readonly #scraping: Promise<void>;
  #tail: ChildProcess | null = null;
  #ended = false;

  constructor(
    run: ChildProcess,
    readonly folder: string,
    readonly observed: Observed,
  ) {
    this.#scraping = this.#watch(run);
  }

  /** Waits for pending requests, and checks that something was observed. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#scraping;
    if (this.#tail !== null) await endOf(this.#tail, 'locmoe logs --follow', [0, 2]);
    const events = path.join(this.folder, 'events');
    for (const run of readdirSync(events))
      for (const file of readdirSync(path.join(events, run)))
        this.observed.eventBytes += readFileSync(path.join(events, run, file)).length;
    const { scrapes, logLines, eventBytes } = this.observed;
    if (Math.min(scrapes, logLines, eventBytes) === 0)
      throw new Error(`nothing was watched: ${JSON.stringify(this.observed)}`);
  }

  async #watch(run: ChildProcess): Promise<void> {
    const address = await addressOf(run);
    this.#follow();
    while (!this.#ended) {
      const signal = AbortSignal.timeout(SCRAPE_TIMEOUT_MS);
      const text = await fetch(`http://${address}/metrics`, { signal }).then(
        (response) => response.text(),
        // The run may have ended.
        () => '',
      );
      if (text.includes('locmoe_')) this.observed.scrapes++;
      await sleep(SCRAPE_INTERVAL_MS);
    }
  }

  #follow(): void {
    const runsDir = path.join(this.folder, 'runs');
    const args = ['logs', '--runs-dir', runsDir, '--follow', '--level', 'debug', '--json'];
    // The end of the run is expected.
    this.#tail = locmoe(args, 'ignore');
    this.#tail.stdout?.on('data', (chunk: Buffer) => {
      for (const byte of chunk) if (byte === 0x0a) this.observed.logLines++;
    });
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export async function benchStepOverhead(): Promise<Measurement[]> {
  const { stepTimeWithVsWithout, pairRatios, pairs } = await measureStepOverhead();
  return [
    {
      name: 'stepTimeWithVsWithout',
      meaning: 'step time with everything on over everything off',
      unit: '',
      value: stepTimeWithVsWithout,
      target: 1.01,
      note: `${pairs} pairs, ${pairRatios.least.toFixed(3)} to ${pairRatios.most.toFixed(3)}`,
    },
  ];
}
