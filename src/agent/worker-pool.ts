import { freemem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { sparesOf } from '../config/cluster-sizes.js';
import type { RunConfig } from '../config/schema.js';
import { GRACE } from '../config/timeouts.js';
import type { WorkerAssignment, WorkerCommand } from '../worker/messages.js';
import { type WorkerListener, WorkerProcess } from './worker-process.js';
import type { WorkerStack } from './worker-stack.js';

const WORKER_MAIN = new URL('../worker/main.js', import.meta.url);

/** Resident memory of a process that has loaded everything and holds no rank. */
const SPARE_BYTES = 200e6;
/** Spares are started after the first step that no generation had done before and that ends so long after the begin. */
const SPARES_AFTER_MS = 2_000;
/** Where a restart repeats much, spares are started so long after the begin. */
const SPARES_ANYHOW_MS = 30_000;
/** Maximum number of spares that are replaced in a run: those that end by themselves would do so again. */
const MOST_LOST = 3;

/**
 * The worker processes of one node over all generations of a run: those that hold the node's ranks, and idle ones. At the end of
 * a generation, a process that gives its rank back becomes idle.
 */
export class WorkerPool {
  readonly #program: string;
  #idle: WorkerProcess[] = [];
  /** Last step that any generation has done. */
  #lastStep = 0;
  /** Idle processes that have ended by themselves. */
  #numLost = 0;
  #hasToldOfMemory = false;

  /** @param program run by each worker process; the trainer's own by default */
  constructor(program: URL = WORKER_MAIN) {
    this.#program = fileURLToPath(program);
  }

  /** Gives each rank a process: the one that held it last, else another idle one, else a new one. */
  start(assignments: readonly WorkerAssignment[], listener: WorkerListener): RankProcesses {
    const ranks = assignments.map(({ topology }) => topology.rank);
    const processes = assignments.map((assignment, i) => {
      const process = this.#take(ranks[i]!, ranks) ?? new WorkerProcess(this.#program);
      process.assign(assignment, listener);
      return [ranks[i]!, process] as const;
    });
    return new RankProcesses(new Map(processes), (process) => this.#idle.push(process));
  }

  #take(rank: number, ranks: readonly number[]): WorkerProcess | undefined {
    this.#idle = this.#idle.filter(({ isAlive }) => isAlive);
    const isOther = (each: WorkerProcess) => each.rank === null || !ranks.includes(each.rank);
    const found = this.#idle.find((each) => each.rank === rank) ?? this.#idle.find(isOther);
    this.#idle = this.#idle.filter((each) => each !== found);
    return found;
  }

  /**
   * Starts spares once the run has trained for a while: loading them takes time from the steps that a restart repeats.
   *
   * @param ranForMs time since the generation began to train
   * @param inform as `keepSpares`
   */
  afterStep(step: number, ranForMs: number, config: RunConfig, inform: (line: string) => void): void {
    const isNew = step > this.#lastStep;
    if (isNew) this.#lastStep = step;
    if (ranForMs > (isNew ? SPARES_AFTER_MS : SPARES_ANYHOW_MS)) this.keepSpares(config, inform);
  }

  /**
   * Starts processes that load what a rank of this run needs, until enough are idle. To be called now and then, as idle
   * processes may end.
   *
   * @param inform called once if there is no memory for them
   */
  keepSpares(config: RunConfig, inform: (line: string) => void): void {
    while (this.#idle.length < sparesOf(config.cluster) && this.#numLost <= MOST_LOST) {
      // Unlike `freemem`, this heeds the limit of a container; early versions of Node 20 do not have it.
      const freeBytes = process.availableMemory?.() ?? freemem();
      if (freeBytes < 2 * SPARE_BYTES) {
        if (!this.#hasToldOfMemory)
          inform(
            `no spare worker process (cluster.spares): ${Math.round(freeBytes / 1e6)} MB of memory are free, and one takes ` +
              `about ${SPARE_BYTES / 1e6} MB`,
          );
        this.#hasToldOfMemory = true;
        return;
      }
      const spare = new WorkerProcess(this.#program);
      spare.send({ type: 'prepare', config });
      this.#idle.push(spare);
      void spare.ended.then(() => {
        if (this.#idle.includes(spare)) this.#numLost++;
        this.#idle = this.#idle.filter((each) => each !== spare);
      });
    }
  }

  /** Ends the idle processes at the end of a run. */
  async end(): Promise<void> {
    this.#lastStep = 0;
    this.#numLost = 0;
    const idle = this.#idle.splice(0);
    for (const process of idle) process.kill();
    await within(GRACE.killMs, Promise.all(idle.map(({ ended }) => ended)));
  }
}

/** The processes that hold the ranks of a node during a generation. */
export class RankProcesses {
  readonly #processes: Map<number, WorkerProcess>;

  /** @param onIdle called at the end of the generation with each process that goes on to the next one */
  constructor(
    processes: ReadonlyMap<number, WorkerProcess>,
    private readonly onIdle: (process: WorkerProcess) => void,
  ) {
    this.#processes = new Map(processes);
  }

  /** Returns the pid of a rank's process; 0 if there is none. */
  pidOf(rank: number): number {
    return this.#processes.get(rank)?.pid ?? 0;
  }

  /** Finds out where a stuck worker is. */
  stackOf(rank: number, timeoutMs: number): Promise<WorkerStack> {
    return this.#processes.get(rank)!.stackOf(timeoutMs);
  }

  /** Kills one worker, whose fault is known. */
  kill(rank: number): void {
    this.#processes.get(rank)?.kill();
  }

  /** Sends a command to these workers, or to all. */
  send(command: WorkerCommand, ranks: Iterable<number> = this.#processes.keys()): void {
    for (const rank of ranks) {
      const process = this.#processes.get(rank);
      if (process?.holdsRank) process.send(command);
    }
  }

  /**
   * Gives the workers `graceMs` to exit, or to give their ranks back after an abort, then kills the rest.
   *
   * @returns pids of workers that SIGKILL did not end within a second
   */
  async end(graceMs: number): Promise<number[]> {
    const processes = [...this.#processes.values()];
    const free = Promise.all(processes.map((each) => each.free));
    await within(graceMs, free);
    for (const each of processes) if (each.holdsRank) each.killAtEnd();
    await within(GRACE.killMs, free);
    this.#processes.clear();
    for (const each of processes) if (!each.holdsRank && each.isAlive) this.onIdle(each);
    return processes.filter(({ holdsRank }) => holdsRank).map(({ pid }) => pid);
  }
}

async function within(limitMs: number, done: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([done, late]);
  clearTimeout(timer);
}
