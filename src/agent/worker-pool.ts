import { type ChildProcess, fork } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { GRACE } from '../config/timeouts.js';
import type { WorkerAssignment, WorkerCommand, WorkerEvent } from '../worker/messages.js';
import { STACK_FD } from '../worker/stack-answer.js';
import { readLines } from './bounded-lines.js';
import { WORKER_ENV, WORKER_NODE_OPTIONS } from './worker-env.js';
import { stackOf, type WorkerStack } from './worker-stack.js';

const WORKER_MAIN = new URL('../worker/main.js', import.meta.url);
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
  /** True if the pool itself killed it. */
  readonly killedByUs: boolean;
  /** The reason why the process could not be started, in which case `pid` is 0. */
  readonly spawnError?: Error;
}

export type WorkerStream = 'stdout' | 'stderr';

export interface WorkerPoolListener {
  event(rank: number, event: WorkerEvent): void;
  /** Called for each line of the worker's standard output (its log) or standard error (native libraries, crashes). */
  line(rank: number, line: string, stream: WorkerStream): void;
  exit(exit: WorkerExit): void;
}

/** The worker processes of one node: starts them, passes messages, reaps them. */
export class WorkerPool {
  readonly #children = new Map<number, ChildProcess>();
  readonly #program: string;
  #killing = false;

  constructor(
    private readonly listener: WorkerPoolListener,
    program: URL = WORKER_MAIN,
  ) {
    this.#program = fileURLToPath(program);
  }

  start(assignments: readonly WorkerAssignment[]): void {
    for (const assignment of assignments) this.#spawn(assignment);
  }

  pidOf(rank: number): number {
    return this.#children.get(rank)?.pid ?? 0;
  }

  /** Finds out where a stuck worker is. */
  async stackOf(rank: number, timeoutMs: number): Promise<WorkerStack> {
    const child = this.#children.get(rank)!;
    return stackOf(child.pid!, child.stdio[STACK_FD] as Duplex, timeoutMs);
  }

  /** Kills one worker, whose fault is known. */
  kill(rank: number): void {
    this.#children.get(rank)?.kill('SIGKILL');
  }

  /** Sends a command to these workers, or to all. */
  send(command: WorkerCommand, ranks: Iterable<number> = this.#children.keys()): void {
    for (const rank of ranks) {
      const child = this.#children.get(rank);
      if (child?.connected) child.send(command);
    }
  }

  /**
   * Gives the workers `graceMs` to exit, then kills the rest.
   *
   * @returns pids of workers that SIGKILL did not end within a second
   */
  async end(graceMs: number): Promise<number[]> {
    const gone = Promise.all([...this.#children.values()].map(exited));
    const timers: NodeJS.Timeout[] = [];
    const late = new Promise<void>((resolve) => {
      const kill = () => {
        this.#killing = true;
        for (const child of this.#children.values()) child.kill('SIGKILL');
      };
      timers.push(setTimeout(kill, graceMs), setTimeout(resolve, graceMs + GRACE.killMs));
    });
    await Promise.race([gone, late]);
    for (const timer of timers) clearTimeout(timer);
    return [...this.#children.values()].filter(isAlive).map(({ pid }) => pid ?? 0);
  }

  #spawn(assignment: WorkerAssignment): void {
    const { rank } = assignment.topology;
    const child = fork(this.#program, [], {
      // The last descriptor is STACK_FD.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
      // A separate process group makes Ctrl-C in a terminal reach the coordinator alone.
      detached: true,
      env: { ...process.env, ...WORKER_ENV },
      execArgv: [...process.execArgv, ...WORKER_NODE_OPTIONS, '--import', IGNORE_SIGNALS],
    });
    this.#children.set(rank, child);
    child.on('message', (event: WorkerEvent) => this.listener.event(rank, event));
    for (const stream of ['stdout', 'stderr'] as const)
      readLines(child[stream]!, (line) => this.listener.line(rank, line, stream));
    // If the process cannot be started, the channel fails too; the first error has the reason.
    let spawnError: Error | undefined;
    child.on('error', (error) => {
      if (child.pid === undefined) spawnError ??= error;
    });
    // 'close' follows the last line, so that a crash message is logged before the exit is reported.
    child.on('close', (code, signal) => {
      const killedByUs = this.#killing;
      this.listener.exit(
        spawnError === undefined
          ? { rank, pid: child.pid ?? 0, code, signal, killedByUs }
          : { rank, pid: 0, code: null, signal: null, killedByUs, spawnError },
      );
    });
    child.send({ type: 'start', assignment } satisfies WorkerCommand);
  }
}

function isAlive({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}

function exited(child: ChildProcess): Promise<void> {
  if (!isAlive(child)) return Promise.resolve();
  return new Promise((resolve) => child.once('close', () => resolve()));
}
