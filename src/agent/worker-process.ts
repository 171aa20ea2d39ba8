import { type ChildProcess, fork } from 'node:child_process';
import type { Duplex } from 'node:stream';
import type { WorkerAssignment, WorkerCommand, WorkerEvent } from '../worker/messages.js';
import { STACK_FD } from '../worker/stack-answer.js';
import { readLines } from './bounded-lines.js';
import { WORKER_ENV, WORKER_NODE_OPTIONS } from './worker-env.js';
import { stackOf, type WorkerStack } from './worker-stack.js';

/**
 * Workers ignore signals: the coordinator decides, and the node agent ends its workers. This runs before the worker's modules
 * load, which takes seconds, as Slurm signals every process of a job.
 */
const IGNORE_SIGNALS =
  "data:text/javascript,for(const name of ['SIGINT','SIGTERM'])process.on(name,()=>undefined)";

export interface WorkerExit {
  readonly rank: number;
  readonly pid: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** True if this node killed it at the end of a generation. */
  readonly killedByUs: boolean;
  /** The reason why the process could not be started, in which case `pid` is 0. */
  readonly spawnError?: Error;
}

export type WorkerStream = 'stdout' | 'stderr';

/** Is told about a worker from its assignment on. */
export interface WorkerListener {
  event(rank: number, event: WorkerEvent): void;
  /** Called for each line of the worker's standard output (its log) or standard error (native libraries, crashes). */
  line(rank: number, line: string, stream: WorkerStream): void;
  exit(exit: WorkerExit): void;
}

/** A worker process, which holds one rank after another, in successive generations. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  #rank: number | null = null;
  #listener: WorkerListener | null = null;
  #isKilled = false;
  #holdsRank = false;
  #free: Promise<void> = Promise.resolve();
  #onFree: () => void = () => undefined;
  /** Resolves when the process has ended and all its output was read. */
  readonly ended: Promise<void>;

  constructor(program: string) {
    const child = fork(program, [], {
      // The last descriptor is STACK_FD.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
      // A separate process group makes Ctrl-C in a terminal reach the coordinator alone.
      detached: true,
      env: { ...process.env, ...WORKER_ENV },
      execArgv: [...process.execArgv, ...WORKER_NODE_OPTIONS, '--import', IGNORE_SIGNALS],
    });
    this.#child = child;
    child.on('message', (event: WorkerEvent) => {
      if (event.type === 'released') this.#setFree();
      else if (this.#holdsRank) this.#listener?.event(this.#rank!, event);
    });
    // The last lines of a generation may arrive after `released`.
    for (const stream of ['stdout', 'stderr'] as const)
      readLines(child[stream]!, (line) => this.#listener?.line(this.#rank!, line, stream));
    // If the process cannot be started, the channel fails too; the first error has the reason.
    let spawnError: Error | undefined;
    child.on('error', (error) => {
      if (child.pid === undefined) spawnError ??= error;
    });
    // 'close' follows the last line, so that a crash message is logged before the exit is reported.
    this.ended = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        const end = spawnError === undefined ? { code, signal } : { code: null, signal: null, spawnError };
        if (this.#holdsRank)
          this.#listener?.exit({ ...end, rank: this.#rank!, pid: this.pid, killedByUs: this.#isKilled });
        this.#setFree();
        resolve();
      });
    });
  }

  /** The pid; 0 if the process could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The rank that the process holds, or held last; null before the first one. */
  get rank(): number | null {
    return this.#rank;
  }

  get isAlive(): boolean {
    const { pid, exitCode, signalCode } = this.#child;
    return pid !== undefined && exitCode === null && signalCode === null;
  }

  /** Gives the process a rank, which it holds until it reports `released`. */
  assign(assignment: WorkerAssignment, listener: WorkerListener): void {
    this.#rank = assignment.topology.rank;
    this.#listener = listener;
    this.#holdsRank = true;
    this.#free = new Promise((resolve) => {
      this.#onFree = resolve;
    });
    this.send({ type: 'start', assignment });
  }

  /** Resolves when the process has given its rank back or has ended. */
  get free(): Promise<void> {
    return this.#free;
  }

  /** True from `assign` until the process has given the rank back or has ended. */
  get holdsRank(): boolean {
    return this.#holdsRank;
  }

  send(command: WorkerCommand): void {
    if (this.#child.connected) this.#child.send(command);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Kills the process at the end of a generation, which makes its exit no failure. */
  killAtEnd(): void {
    this.#isKilled = true;
    this.kill();
  }

  /** Finds out where the process is stuck. */
  stackOf(timeoutMs: number): Promise<WorkerStack> {
    return stackOf(this.pid, this.#child.stdio[STACK_FD] as Duplex, timeoutMs);
  }

  #setFree(): void {
    this.#holdsRank = false;
    this.#onFree();
  }
}
