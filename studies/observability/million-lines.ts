import { appendFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { logFolder } from 'locmoe/internal/run/run-logs';
import { median } from '../../packages/bench/src/statistics.js';
import { LogEngine } from '../../packages/logs/src/logql/log-engine.js';
import { take } from '../../packages/logs/src/logql/log-entries.js';
import { parseLogQuery, parseQuery } from '../../packages/logs/src/logql/parse.js';
import { ALL_TIME } from '../../packages/logs/src/store/instant.js';
import { assertEqual, type Bench, type Found, inFolder } from './support.js';

const LONG_RUN = {
  run: 'long',
  numLines: 1_000_000,
  numNodes: 2,
  ranksPerNode: 4,
  startMs: 1_700_000_000_000,
  /** Interval between lines of one rank. */
  intervalMs: 10,
  /** One line in this many is a warning. */
  warnEvery: 1_000,
  /** One line of a node in this many contains NaN. */
  nanEvery: 100_000,
} as const;

/** Writes the log of a run of a million lines: 2 nodes x 4 ranks, 100 lines/s each, 21 minutes. */
function writeLongRun(directory: string): void {
  const { run, numLines, numNodes, ranksPerNode, startMs, intervalMs, warnEvery, nanEvery } = LONG_RUN;
  mkdirSync(directory, { recursive: true });
  for (let node = 0; node < numNodes; node++) {
    const file = path.join(directory, `node-${node}.ndjson`);
    let text = '';
    for (let i = 0; i < numLines / numNodes; i++) {
      // Ranks are offset by a few ms, and out of order.
      const time = startMs + Math.floor(i / ranksPerNode) * intervalMs + ((i * 7) % 5);
      const rank = node * ranksPerNode + (i % ranksPerNode);
      const level = i % warnEvery === 0 ? 'warn' : 'info';
      const msg = i % nanEvery === 7 ? 'loss is NaN' : 'step';
      const step = Math.floor(i / 40);
      text += `${JSON.stringify({ level, time, run, generation: 1, node, rank, step, loss: 3 + Math.sin(i), stepMs: 12.5, msg })}\n`;
      if (text.length > 1 << 23) {
        appendFileSync(file, text);
        text = '';
      }
    }
    appendFileSync(file, text);
  }
}

const REPEATS = 9;
const BUCKET_S = 10;
const SELECTOR = `{run="${LONG_RUN.run}"}`;
/** Patterns by figure. They differ in what helps the engine. */
const PATTERNS: Readonly<Record<string, string>> = {
  regex1MLinesMs: 'no .*such text',
  regexGaps1MLinesMs: 'a.*b.*c.*d.*q$',
  regexEitherCase1MLinesMs: '(?i)nan',
  regexAlternatives1MLinesMs: 'warn|error',
};
const HISTOGRAM = `sum by (level, detected_level) (count_over_time(${SELECTOR} | drop __error__ [${BUCKET_S}s]))`;

/** Opening a run of a million lines, its volume histogram, and line filters over it. */
export const benchMillionLines: Bench = () =>
  inFolder(async (folder) => {
    const directory = path.join(folder, 'logs');
    writeLongRun(directory);
    const newEngine = () => new LogEngine({ runs: () => [logFolder(LONG_RUN.run, directory)] });

    const openMs: number[] = [];
    for (let i = 0; i < 3; i++)
      openMs.push(await timeOf(() => newEngine().open(parseLogQuery(SELECTOR).matchers, 0)));

    const engine = newEngine();
    await verify(engine);
    const histogram = await timesOf(() => levels(engine, HISTOGRAM));
    const rare = await timesOf(() => lines(engine, `${SELECTOR} |= "NaN"`));
    const found: Record<string, Found> = {
      open1MLinesMs: figure(openMs),
      histogram1MLinesMs: figure(histogram),
      query1MLinesMs: figure(rare),
    };
    for (const [name, pattern] of Object.entries(PATTERNS))
      found[name] = figure(await timesOf(() => lines(engine, `${SELECTOR} |~ "${pattern}"`)));
    return found;
  });

function figure(times: readonly number[]): Found {
  const note = `${Math.min(...times).toFixed(0)}-${Math.max(...times).toFixed(0)}, n=${times.length}`;
  return { value: median(times), note };
}

async function verify(engine: LogEngine): Promise<void> {
  const { numLines, numNodes, warnEvery, nanEvery } = LONG_RUN;
  const warnings = numLines / warnEvery;
  const expected = { info: numLines - warnings, warn: warnings };
  assertEqual('histogram', await levels(engine, HISTOGRAM), expected);
  const found = await lines(engine, `${SELECTOR} |= "NaN"`);
  assertEqual('lines with NaN', found.length, (numLines / numNodes / nanEvery) * numNodes);
  assertEqual('their messages', new Set(found.map((text) => JSON.parse(text).msg)).size, 1);
}

/** Sum per level over all buckets. */
async function levels(engine: LogEngine, text: string): Promise<Record<string, number>> {
  const query = parseQuery(text);
  if (query.kind === 'log') throw new Error(`${text} selects lines`);
  const { startMs, numLines, numNodes, ranksPerNode, intervalMs } = LONG_RUN;
  const spanS = (numLines / numNodes / ranksPerNode) * (intervalMs / 1000);
  const grid = { startMs, stepMs: BUCKET_S * 1000, numPoints: Math.ceil(spanS / BUCKET_S) + 1 };
  const value = await engine.evaluate(query, grid);
  if (typeof value === 'number') throw new Error(`${text} is a number`);
  return Object.fromEntries(
    value.map(({ labels, values }) => [
      labels.get('level') ?? '',
      values.reduce((sum, each) => sum + each, 0),
    ]),
  );
}

async function lines(engine: LogEngine, text: string): Promise<string[]> {
  const entries = await take(engine.lines(parseLogQuery(text), ALL_TIME, 'backward'), 1_000);
  return entries.map((entry) => entry.text);
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function timesOf(work: () => Promise<unknown>): Promise<number[]> {
  await work();
  const times: number[] = [];
  for (let i = 0; i < REPEATS; i++) times.push(await timeOf(work));
  return times;
}
