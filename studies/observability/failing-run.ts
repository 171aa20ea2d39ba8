import type { ChildProcess } from 'node:child_process';
import { createWriteStream, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listRuns } from '@locmoe/run-format';
import { processTree } from 'locmoe/internal/os/process-info';
import { WebSocket } from 'ws';
import { startTraining } from './support.js';

const START_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
const MAX_LINES = 5_000;
/** Most of a step is sleep: several runs share a machine, and how they are seen to fail is no matter of speed. */
const SLOW_STEPS = { LOCMOE_FAIL: 'step.begun:*:sleep=250' };

/** How a run is made to fail. */
export interface Cause {
  readonly name: string;
  /** Fails by itself at its first steps; else `harm` is called while it trains. */
  readonly sets?: readonly string[];
  harm?(run: FailingRun): void;
  /** Exit code of the coordinator's process; null if it is killed. */
  readonly exitCode: number | null;
}

const RUN_FAILED = 3;

export const CAUSES: readonly Cause[] = [
  { name: 'worker killed', exitCode: RUN_FAILED, harm: (run) => run.signal('worker/main.js', 'SIGKILL') },
  { name: 'worker stopped', exitCode: RUN_FAILED, harm: (run) => run.signal('worker/main.js', 'SIGSTOP') },
  { name: 'agent killed', exitCode: RUN_FAILED, harm: (run) => run.signal('cli.js\0node\0', 'SIGKILL') },
  { name: 'coordinator killed', exitCode: null, harm: (run) => run.signal('cli.js\0train\0', 'SIGKILL') },
  {
    name: 'not finite',
    sets: ['train.learningRate=1e30', 'train.warmupSteps=0'],
    exitCode: RUN_FAILED,
  },
];

/** A training that is to fail, with a client that tails its log. */
export class FailingRun {
  readonly #child: ChildProcess;
  readonly #tailed = new Map<string, number>();
  readonly exited: Promise<number | null>;
  /** Wall clock, ms since 1970; 0 before. */
  harmedMs = 0;

  /** @param http where it is served, for Prometheus and the tail, and the file of the token that they give */
  constructor(
    readonly cause: Cause,
    readonly folder: string,
    recipe: string,
    readonly http: { readonly port: number; readonly tokenFile: string },
  ) {
    this.#child = startTraining(
      {
        config: recipe,
        layout: [2, 1],
        runsDir: path.join(folder, 'runs'),
        sets: [...(cause.sets ?? []), 'train.steps=1000000', 'cluster.maxRestarts=0'],
        more: [
          ...['--data-dir', path.join(folder, '..', 'data')],
          ...['--http', `127.0.0.1:${http.port}`, '--token-file', http.tokenFile],
        ],
      },
      // It lingers until alerts of all runs have arrived.
      { env: SLOW_STEPS, errors: 'pipe', timeoutMs: 0 },
    );
    const output = createWriteStream(path.join(folder, 'output.txt'));
    this.#child.stdout?.pipe(output, { end: false });
    this.#child.stderr?.pipe(output, { end: false });
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', resolve);
    });
    void this.#tail();
  }

  get runId(): string {
    return listRuns(path.join(this.folder, 'runs'))[0]?.record.runId ?? '';
  }

  /** Waits until it is in one of these states. */
  async until(...states: readonly string[]): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!states.includes(listRuns(path.join(this.folder, 'runs'))[0]?.record.state ?? '')) {
      if (performance.now() > deadline)
        throw new Error(`${this.folder}: the run was never ${states.join(' or ')}; see output.txt there`);
      await sleep(POLL_MS);
    }
  }

  /** Signals the first process of the run whose command line has `mark`. */
  signal(mark: string, signal: NodeJS.Signals): void {
    const victim = processTree([this.#child.pid!]).find((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(mark),
    );
    if (victim === undefined) throw new Error(`${this.runId}: no process of ${mark}`);
    this.harmedMs = Date.now();
    process.kill(victim, signal);
  }

  /** Ends it if it lingers. @returns its exit code */
  async end(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_TIMEOUT_MS);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }

  /** Lines of the run's log that the tail did not get, and the number of all; once it has ended. */
  lost(): { readonly numLost: number; readonly numLines: number } {
    const { folder } = listRuns(path.join(this.folder, 'runs'))[0]!;
    const lines = readdirSync(folder.logs)
      .filter((name) => name.endsWith('.ndjson'))
      .flatMap((name) => readFileSync(path.join(folder.logs, name), 'utf8').split('\n').filter(Boolean));
    let numLost = 0;
    for (const line of lines) {
      const left = this.#tailed.get(line) ?? 0;
      if (left === 0) numLost++;
      else this.#tailed.set(line, left - 1);
    }
    return { numLost, numLines: lines.length };
  }

  /** Follows all lines of all runs of this server, as logcli and Grafana do. */
  async #tail(): Promise<void> {
    const query = encodeURIComponent('{run=~".+"}');
    const url = `ws://127.0.0.1:${this.http.port}/loki/api/v1/tail?query=${query}&limit=${MAX_LINES}`;
    const headers = { authorization: `Bearer ${readFileSync(this.http.tokenFile, 'utf8').trim()}` };
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (this.#child.exitCode === null && performance.now() < deadline) {
      const socket = new WebSocket(url, { headers });
      const isOpen = await new Promise<boolean>((resolve) => {
        socket.once('open', () => resolve(true));
        socket.on('error', () => resolve(false));
        socket.on('message', (data) => this.#receive(JSON.parse(String(data))));
      });
      if (isOpen) return;
      await sleep(POLL_MS);
    }
  }

  #receive({ streams }: { readonly streams: readonly { readonly values: [string, string][] }[] }): void {
    for (const { values } of streams)
      for (const [, line] of values) this.#tailed.set(line, (this.#tailed.get(line) ?? 0) + 1);
  }
}
