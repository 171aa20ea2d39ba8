import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RunFolder, type RunRecord } from '@locmoe/run-format';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CounterRandom } from '../../src/parameters/counter-random.js';
import { NIGHTLY } from '../nightly.js';
import { Locmoe, MICRO, newestRun, ROOT, startTraining, trainArguments, UNHURRIED } from './support.js';

/** A search interrupts each command more than once. */
const ROUNDS = Number(process.env.LOCMOE_INTERRUPT_ROUNDS ?? 1);
/** The seed of the moments of interruption; each night has another one. */
const SEED = Number(process.env.LOCMOE_INTERRUPT_SEED ?? 1);
/** For a search: only commands that begin with these words are interrupted. */
const ONLY = process.env.LOCMOE_INTERRUPT_ONLY ?? '';
/**
 * Commands that other tests interrupt by day: interruption, separate-nodes, generate, api, eval, doctor, inspect and
 * documented-commands.
 */
const ELSEWHERE = /^(?:train|serve|generate|api|eval|doctor|inspect|bench)\b/;
/** These prepare text, which no other test interrupts. */
const PREPARES = ['train with data to prepare', 'doctor --config'];

/** A program loads within this time, unless the machine is very slow. */
const START_S = 1.5;
/** A command that has printed nothing for this long is assumed to be working. */
const SILENCE_MS = 10_000;
/** An interrupted command ends within a second or two, or later on a loaded machine. */
const END_MS = 90_000;
/** Part of the name of each run, and so of its shared memory. */
const NAME = `interrupted${process.pid}`;
const CONFIG = MICRO.replace('name: micro', `name: ${NAME}`).replace('maxRestarts: 0', 'maxRestarts: 9');
const ENDLESS = 'train.steps=1000000';
/** Progress lines on standard error, which do not report the end. */
const PROGRESS = /^(?:(?:eval|data): |\[\w+\] )/;

interface Interrupted {
  /** Returns the command's words; `folder` belongs to this command alone. */
  readonly args: (folder: string) => readonly string[];
  /** The moment is drawn within this many seconds after the start or the first output. */
  readonly withinS: number;
  /** Once the command has printed this, it may end with 0: it is finished, or documented to end so. */
  readonly endsWell?: RegExp;
}

let shared: string;
let trained: string;
let live: Locmoe;

const words = (line: string) => line.split(' ');
const out = (folder: string) => `--work-dir ${folder}/work --out ${folder}`;
const places = (folder: string) => `--runs-dir ${folder}/runs --data-dir ${folder}/data`;
const recipe = () => `--config ${shared}/micro.yaml`;
const training = (folder: string, ...more: string[]) =>
  trainArguments({ folder, nodes: 1, workersPerNode: 2, sets: [ENDLESS], config: CONFIG, more });

/** Commands that end by themselves are interrupted while they work, unless they have already ended successfully. */
const COMMANDS: Readonly<Record<string, Interrupted>> = {
  train: { args: training, withinS: 5 },
  'train with data to prepare': {
    args: (folder) => training(folder, '--data-dir', path.join(folder, 'data')),
    withinS: 4,
  },
  'train --text': {
    args: (folder) =>
      words(`train --text docs/**/*.md --set name=${NAME} --set ${ENDLESS} ${places(folder)} --no-samples`),
    withinS: 5,
  },
  'train --resume': {
    args: (folder) => {
      cpSync(trained, path.join(folder, 'runs', path.basename(trained)), { recursive: true });
      return words(`train --resume --runs-dir ${folder}/runs --data-dir data --set ${ENDLESS}`);
    },
    withinS: 4,
  },
  'train that ends': {
    args: (folder) =>
      trainArguments({ folder, nodes: 1, workersPerNode: 2, sets: ['train.steps=6'], config: CONFIG }),
    withinS: 4,
    endsWell: /^validation|^done/m,
  },
  serve: {
    args: (folder) => ['serve', ...training(folder).slice(1), '--listen', '127.0.0.1:0'],
    withinS: 4,
  },
  node: { args: () => words('node --coordinator 127.0.0.1:1'), withinS: 2 },
  generate: {
    args: () => words(`generate --checkpoint ${trained} --domain en --prompt The --max-tokens 9999`),
    withinS: 4,
  },
  api: { args: () => words(`api --checkpoint ${trained} --port 0`), withinS: 4, endsWell: /^api: /m },
  eval: { args: () => words(`eval --checkpoint ${trained} --sequences 100000`), withinS: 5 },
  'eval --cloze': {
    args: () => words(`eval --checkpoint ${trained} --cloze --sequences 100000`),
    withinS: 5,
  },
  export: {
    args: (folder) => words(`export --checkpoint ${trained} --to web --output ${folder}/page`),
    withinS: 2,
    endsWell: /^ {2}export\.json /m,
  },
  'data inspect': {
    args: (folder) => words(`data inspect ${recipe()} --data-dir ${folder}/data`),
    withinS: 4,
    endsWell: /^ +\| /m,
  },
  doctor: { args: () => ['doctor'], withinS: 4, endsWell: /^\w+ +python/m },
  'doctor --config': {
    args: (folder) => words(`doctor ${recipe()} --data-dir ${folder}/data`),
    withinS: 8,
    endsWell: /^all \d+ steps take about/m,
  },
  plan: { args: () => words('plan --config tiny'), withinS: 2, endsWell: /^routing: /m },
  inspect: {
    args: () => words(`inspect --run ${trained} --http 127.0.0.1:0`),
    withinS: 2,
    endsWell: /^page: /m,
  },
  'bench collectives': { args: (folder) => words(`bench collectives --quick ${out(folder)}`), withinS: 6 },
  'bench step': { args: () => words(`bench step --data-dir data`), withinS: 6 },
  'bench step --peer torch': {
    args: (folder) => words(`bench step --peer torch --quick ${recipe()} --data-dir data ${out(folder)}`),
    withinS: 12,
  },
  'bench routers': {
    args: (folder) =>
      words(`bench routers --quick ${recipe()} --set moe.capacityFactor=1.1 --data-dir data ${out(folder)}`),
    withinS: 8,
  },
  'bench plan': {
    args: (folder) => words(`bench plan --quick --data-dir data ${out(folder)}`),
    withinS: 6,
  },
  'bench recovery': {
    args: (folder) => words(`bench recovery --quick --only worker-kill --data-dir data ${out(folder)}`),
    withinS: 8,
  },
  'bench kernels': { args: () => words('bench kernels'), withinS: 6 },
  status: { args: () => words(`status --runs-dir ${shared}/runs`), withinS: 0.7 },
  'logs --follow': { args: () => words(`logs --follow --runs-dir ${shared}/runs`), withinS: 2 },
  trace: { args: () => words(`trace --runs-dir ${shared}/runs`), withinS: 1 },
  chaos: {
    args: () => words(`chaos --every 2s --runs-dir ${shared}/runs`),
    withinS: 8,
    endsWell: /^\d+ faults?\b/m,
  },
};

/** Makes a folder in which all files that a command creates are visible. */
function place() {
  const folder = mkdtempSync(path.join(shared, 'place-'));
  const own = path.join(folder, 'tmp');
  mkdirSync(own);
  return { folder, own };
}

function segments(pid: number | undefined): string[] {
  const own = [`locmoe-${NAME}`, `locmoe-ranks-${pid}-`, `locmoe-doctor-${pid}`];
  const isLive = (name: string) => name.includes(path.basename(newestRun(shared)));
  return readdirSync('/dev/shm').filter(
    (name) => own.some((start) => name.startsWith(start)) && !isLive(name),
  );
}

function unfinished(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) =>
      /\.tmp-|\.writing-|\.doctor-|\.set-up-/.test(path.basename(name)) ||
      // PyTorch's compiler keeps its cache.
      /^tmp\/(?!torchinductor)/.test(name),
  );
}

interface Moment {
  readonly after: 'the start' | 'the first output';
  readonly ms: number;
}

function momentOf(name: string, round: number): Moment {
  const draw = new CounterRandom(SEED, `${name}/${round}`);
  const ms = (s: number) => Math.round(1000 * s * draw.uniform(1));
  const { withinS } = COMMANDS[name];
  return draw.uniform(0) < 0.4
    ? { after: 'the start', ms: ms(Math.min(START_S, withinS)) }
    : { after: 'the first output', ms: ms(withinS) };
}

async function expectCleanEnd(name: string, { after, ms }: Moment): Promise<void> {
  const { args, endsWell } = COMMANDS[name];
  const { folder, own } = place();
  const run = new Locmoe(args(folder), { TMPDIR: own }, undefined, name === 'trace' ? folder : ROOT);
  const ended = run.finished.then(() => 'ended');
  const silentUntil = performance.now() + SILENCE_MS;
  while (after === 'the first output' && run.output === '' && run.child.exitCode === null) {
    if (performance.now() > silentUntil) break;
    await sleep(20);
  }
  if ((await Promise.race([ended, sleep(ms, 'late')])) === 'ended') {
    // The command ended by itself before its moment.
    expect((await run.finished).code, run.output).toBe(0);
    return;
  }
  run.interrupt();
  expect(
    await Promise.race([ended, sleep(END_MS, 'late')]),
    `${ms} ms after ${after} it does not end:\n${run.output}`,
  ).toBe('ended');
  const { code, stdout, stderr, seconds } = await run.finished;
  if (ROUNDS > 1) console.log(`${name}: ${ms} ms after ${after}: ${stderr.trim()} (${seconds.toFixed(1)} s)`);
  const why = `interrupted ${ms} ms after ${after}, code ${code} ${run.child.signalCode ?? ''}\n${run.output}`;
  // Until the program handles signals, it has done nothing.
  const isEarly = run.child.signalCode === 'SIGINT' && run.output === '';
  const mayBeWell = endsWell?.test(stdout) || /^trace-.*events/m.test(stdout) || name === 'status';
  if (!isEarly) expect(mayBeWell ? [0, 130] : [130], why).toContain(code);
  const lines = stderr.split('\n').filter((line) => line !== '' && !PROGRESS.test(line));
  expect(lines.length, why).toBeLessThanOrEqual(1);
  for (const line of lines) expect(line, why).toMatch(/^locmoe: /);
  expect(stdout, why).not.toMatch(/\n\s+at /);
  await run.expectNothingLeft();
  await expect.poll(() => segments(run.child.pid), { timeout: 20_000, message: why }).toEqual([]);
  expect(unfinished(folder), why).toEqual([]);
  // Until that line the command leads no run, and a run to be resumed is unchanged.
  if (name.startsWith('train') && /^run \S+:/m.test(stdout))
    expect(recordOf(folder), why).toMatchObject({
      state: 'finished',
      ...(code === 130 && { stopped: 'SIGINT' }),
    });
  rmSync(folder, { recursive: true });
}

function recordOf(folder: string): RunRecord | null {
  return new RunFolder(newestRun(folder)).readRecord();
}

describe(`Ctrl-C at a moment drawn from seed ${SEED}`, () => {
  beforeAll(async () => {
    shared = mkdtempSync(path.join(tmpdir(), 'locmoe-interrupted-'));
    const begin = (nodes: number, sets: readonly string[], env = {}) =>
      startTraining({ folder: shared, nodes, workersPerNode: 1, config: CONFIG, sets, env });
    const { code, stdout, stderr } = await begin(1, ['train.steps=5']).finished;
    expect(code, stdout + stderr).toBe(0);
    trained = newestRun(shared);
    live = begin(1, [ENDLESS, 'cluster.maxRestarts=1000'], UNHURRIED);
    await live.until(/step +\d+\/1/);
  });

  afterAll(async () => {
    live.interrupt();
    await live.finished;
    rmSync(shared, { recursive: true, force: true });
  });

  it('a command that is done is not killed while Node ends', async () => {
    for (const ms of [2, 5, 10]) {
      const run = new Locmoe(COMMANDS.plan.args(shared));
      run.child.stdout?.on('data', () => setTimeout(() => run.child.kill('SIGINT'), ms));
      const { code } = await run.finished;
      expect([0, 130], `${ms} ms after the output, ${run.child.signalCode}`).toContain(code);
    }
  });

  const isSearch = NIGHTLY || ROUNDS > 1 || ONLY !== '';
  const names = Object.keys(COMMANDS).filter(
    (name) => name.startsWith(ONLY) && (isSearch || !ELSEWHERE.test(name) || PREPARES.includes(name)),
  );
  for (let round = 0; round < ROUNDS; round++)
    it.each(names)(`%s, round ${round}`, (name) => expectCleanEnd(name, momentOf(name, round)), 150_000);
});
