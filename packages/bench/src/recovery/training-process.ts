import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TrainerError } from 'locmoe/errors';
import { MetricsReader } from 'locmoe/run/metrics-reader';
import type { MetricsRecord } from 'locmoe/run/metrics-record';
import { listRuns, type RunFolder } from 'locmoe/run/run-folder';

/** A step that was done, whether or not a failure made it undone. */
export interface SeenStep {
  readonly step: number;
  /** Wall clock, ms since 1970. */
  readonly time: number;
}

export interface TrainingArguments {
  /** Recipe or config file. */
  readonly config: string;
  readonly sets: readonly string[];
  /** Receives the run's folder and the command's output. */
  readonly folder: string;
  readonly dataDir: string;
  readonly more?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const START_MS = 120_000;
const END_MS = 60_000;
const POLL_MS = 20;

/** A `locmoe train` in a child process, followed by its folder while it goes on. */
export class TrainingProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  readonly #reader: MetricsReader;
  /** In order of time. */
  readonly steps: SeenStep[] = [];

  /** Resolves once it trains. @throws TrainerError `INTERNAL` with its last line if it ends before, or does not begin */
  static async start({
    config,
    sets,
    folder,
    dataDir,
    more = [],
    env = {},
  }: TrainingArguments): Promise<TrainingProcess> {
    mkdirSync(folder, { recursive: true });
    const output = path.join(folder, 'output.txt');
    const fd = openSync(output, 'w');
    const args = [
      ...[
        'train',
        '--config',
        config,
        '--runs-dir',
        folder,
        '--data-dir',
        dataDir,
        '--no-samples',
        '--no-http',
      ],
      ...sets.flatMap((set) => ['--set', set]),
      ...more,
    ];
    // The built command, also when the bench runs from sources.
    const command = createRequire(import.meta.url).resolve('locmoe/cli/cli');
    const child = spawn(process.execPath, [command, ...args], {
      stdio: ['ignore', fd, fd],
      // A group of its own: Ctrl-C reaches the bench alone, which ends it.
      detached: true,
      env: { ...process.env, ...env },
    });
    closeSync(fd);
    const deadline = performance.now() + START_MS;
    while (child.exitCode === null && performance.now() < deadline) {
      const [found] = listRuns(folder);
      if (found?.record.state === 'running') return new TrainingProcess(child, found.folder);
      await sleep(POLL_MS);
    }
    child.kill('SIGKILL');
    const lastLine = readFileSync(output, 'utf8').trimEnd().split('\n').at(-1);
    throw new TrainerError('INTERNAL', `locmoe ${args.join(' ')} does not train: ${lastLine}`);
  }

  private constructor(
    child: ChildProcess,
    readonly folder: RunFolder,
  ) {
    this.#child = child;
    this.#exited = once(child, 'exit').then(([code]) => code);
    this.#reader = new MetricsReader(folder.metrics, {
      // What was read before is told again, with the same times.
      restart: () => undefined,
      add: (record) => this.#add(record),
    });
  }

  #add(record: MetricsRecord): void {
    if (record.type === 'step' && record.time > (this.steps.at(-1)?.time ?? 0)) this.steps.push(record);
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Reads what is new in its metrics. */
  async look(): Promise<void> {
    await this.#reader.update();
  }

  /**
   * Waits until `find` finds something.
   *
   * @throws TrainerError `INTERNAL` if the training ends before, or after `timeoutMs`
   */
  async until<T>(what: string, timeoutMs: number, find: () => T | undefined): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      await this.look();
      const found = find();
      if (found !== undefined) return found;
      if (!this.isAlive || performance.now() > deadline)
        throw new TrainerError(
          'INTERNAL',
          `run ${this.folder.directory} ${this.isAlive ? 'goes on' : 'ended'} without ${what}`,
        );
      await sleep(POLL_MS);
    }
  }

  /** Asks for a final checkpoint and the end, and forces the end where it does not come. */
  async stop(): Promise<number | null> {
    if (this.isAlive) this.#child.kill('SIGINT');
    return this.end(END_MS);
  }

  /** Its exit code, once it has ended by itself; null if it had to be killed. */
  async end(withinMs: number): Promise<number | null> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), withinMs);
    const code = await this.#exited;
    clearTimeout(timer);
    await this.look();
    return code;
  }
}
