import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFailed, onTestFinished } from 'vitest';
import { isRunning } from '../../src/os/process-info.js';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const CLI = path.join(ROOT, 'dist/cli/cli.js');
/** Prepared datasets of the tests are kept with the user's own, so that a second test run finds them. */
export const DATA_DIR = path.join(ROOT, 'data');

/**
 * A model small enough for a run to take seconds; no token is dropped, so every layout computes the same. A run ends at
 * its first failure, so that the failure can be inspected.
 */
export const MICRO = `
name: micro
seed: 7
model: { dModel: 32, numHeads: 2, numDenseLayers: 1, numSparseLayers: 2, dFeedForward: 64, vocabSize: 512, seqLen: 32 }
moe: { numExperts: 4, router: switch, expertGroups: 2, capacityFactor: null }
data: { domains: [en, code], maxBytesPerDomain: 100000 }
train: { steps: 30, globalBatch: 8, learningRate: 0.01, warmupSteps: 5, validateEvery: 100, checkpointEvery: 100, keepCheckpoints: 9, snapshotEvery: 0, probeRoutes: false }
cluster: { maxRestarts: 0 }
`;

/**
 * The environment of a run that is to be inspected: pauses between steps leave the processors to the inspecting
 * program.
 */
export const UNHURRIED = { LOCMOE_FAIL: 'step.begun:*:sleep=100' };

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

/** A folder for one test, removed after it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-e2e-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const MARKS = { agent: 'cli.js\0node\0', worker: 'worker/main.js', scorer: 'scorer-program.js' };

/** Characters of a command's output that are shown when its test fails. */
const SHOWN = 2_000;

/** A started `locmoe`, marked by an environment variable that all its descendants inherit. */
export class Locmoe {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  readonly #tag = `LOCMOE_TEST_TAG=${process.pid}-${Math.random().toString(36).slice(2)}`;
  #stdout = '';
  #stderr = '';

  constructor(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    [program = '', ...first]: readonly string[] = [process.execPath, CLI],
    cwd = ROOT,
  ) {
    const started = performance.now();
    const [name = '', value] = this.#tag.split('=');
    this.child = spawn(program, [...first, ...args], {
      cwd,
      env: { ...process.env, ...env, [name]: value },
      stdio: ['ignore', 'pipe', 'pipe'],
      // The process gets its own group, as in a shell, so that `interrupt` reaches all its descendants.
      detached: true,
    });
    this.child.stdout!.on('data', (chunk) => {
      this.#stdout += chunk;
    });
    this.child.stderr!.on('data', (chunk) => {
      this.#stderr += chunk;
    });
    this.finished = new Promise((resolve) => {
      this.child.on('close', (code) =>
        resolve({
          code,
          stdout: this.#stdout,
          stderr: this.#stderr,
          seconds: (performance.now() - started) / 1000,
        }),
      );
    });
    const killAll = () => {
      for (const pid of this.descendants()) process.kill(pid, 'SIGKILL');
    };
    try {
      onTestFinished(killAll);
      onTestFailed(() => console.error(`locmoe ${args.join(' ')} had said:\n${this.output.slice(-SHOWN)}`));
    } catch {
      // Started in a hook, which waits for the end itself.
      process.once('exit', killAll);
    }
  }

  get output(): string {
    return this.#stdout + this.#stderr;
  }

  /** What Ctrl-C does: the signal goes to the whole process group. */
  interrupt(): void {
    process.kill(-this.child.pid!, 'SIGINT');
  }

  /** Waits until the output matches. */
  async until(pattern: RegExp, timeoutMs = 240_000): Promise<RegExpExecArray> {
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline) {
      const match = pattern.exec(this.output);
      if (match !== null) return match;
      if (this.child.exitCode !== null) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`no ${pattern} in the output:\n${this.output}`);
  }

  /** The address of the run's HTTP server, as the run prints it, and the headers that authorize a request. */
  async http(): Promise<{
    readonly address: string;
    readonly token: string;
    readonly headers: Record<string, string>;
  }> {
    const [, url] = await this.until(/(?:page|logs and metrics): (http:\S+)/, 120_000);
    const { host, searchParams } = new URL(url!);
    const token = searchParams.get('token') ?? '';
    return { address: host, token, headers: { authorization: `Bearer ${token}` } };
  }

  /** Processes of this run that are alive, by the mark in their environment. */
  descendants(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => pid !== process.pid && hasMark(pid, this.#tag));
  }

  /** Pids of the node agents, of the workers or of an evaluation's processes, by command line. */
  pidsOf(kind: keyof typeof MARKS): number[] {
    return this.descendants().filter((pid) => readProc(pid, 'cmdline').includes(MARKS[kind]));
  }

  /** Fails the test if a process of the run or a file of it in /dev/shm is left. */
  async expectNothingLeft(withinMs = 30_000): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (this.descendants().length > 0 && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 100));
    expect(this.descendants().map((pid) => readProc(pid, 'cmdline'))).toEqual([]);
    const runId = /run ([a-z0-9-]+):/.exec(this.output)?.[1];
    // Runs of other tests that began in the same second have the same name, and agents that live.
    const segments = readdirSync('/dev/shm').filter(
      (name) => name.startsWith(`locmoe-${runId}-`) && !isRunning(Number(name.split('-').at(-2))),
    );
    expect(segments).toEqual([]);
  }
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}

function hasMark(pid: number, tag: string): boolean {
  return readProc(pid, 'environ').split('\0').includes(tag);
}

/** Runs a line that `locmoe` printed, in a shell in which `locmoe` is installed. */
export function pasted(line: string): Locmoe {
  const bin = temporaryFolder();
  writeFileSync(path.join(bin, 'locmoe'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`, {
    mode: 0o755,
  });
  return new Locmoe([line], { PATH: `${bin}:${process.env.PATH}` }, ['/bin/sh', '-c']);
}

/** Runs `locmoe` to its end. */
export function locmoe(...args: string[]): Promise<Finished> {
  return new Locmoe(args).finished;
}

export interface TrainArguments {
  readonly folder: string;
  readonly nodes: number;
  readonly workersPerNode: number;
  readonly sets?: readonly string[];
  readonly resume?: string;
  readonly config?: string;
  readonly dataDir?: string;
  /** Further arguments. */
  readonly more?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The arguments of `locmoe train` for the micro model, with its runs in `folder`. */
export function trainArguments({
  folder,
  nodes,
  workersPerNode,
  sets = [],
  resume,
  config = MICRO,
  dataDir = DATA_DIR,
  more = [],
}: TrainArguments): string[] {
  const file = path.join(folder, 'micro.yaml');
  if (!existsSync(file)) writeFileSync(file, config);
  const places = ['--config', file, '--runs-dir', path.join(folder, 'runs'), '--data-dir', dataDir];
  const size = ['--nodes', String(nodes), '--workers-per-node', String(workersPerNode)];
  return [
    'train',
    ...places,
    '--no-samples',
    ...size,
    ...sets.flatMap((set) => ['--set', set]),
    ...(resume === undefined ? [] : ['--resume', resume]),
    ...more,
  ];
}

/** Starts a training of the micro model. */
export function startTraining(options: TrainArguments): Locmoe {
  return new Locmoe(trainArguments(options), options.env);
}

/** Trains the micro model and expects success; returns the run's folder. */
export async function trainToTheEnd(options: TrainArguments): Promise<string> {
  const run = startTraining(options);
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(0);
  await run.expectNothingLeft();
  return newestRun(options.folder);
}

/** The folder of the newest run of a test. */
export function newestRun(folder: string): string {
  const runs = path.join(folder, 'runs');
  return path.join(runs, readdirSync(runs).sort().at(-1)!);
}

/** Contents of all files in a folder by path, or of the single file at `place`. */
export function filesIn(place: string): Record<string, string> {
  if (!statSync(place).isDirectory()) return { '': readFileSync(place, 'latin1') };
  const files = readdirSync(place, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const file = path.join(parentPath, name);
      return [path.relative(place, file), readFileSync(file, 'latin1')];
    }),
  );
}

/** Loss by step, from a run's metrics. */
export function lossCurve(runFolder: string): Map<number, number> {
  const records = readFileSync(path.join(runFolder, 'metrics.ndjson'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  return new Map(records.filter(({ type }) => type === 'step').map(({ step, loss }) => [step, loss]));
}
