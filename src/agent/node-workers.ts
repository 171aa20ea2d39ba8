import type { RankProgress } from '../collectives/control-block.js';
import { GRACE } from '../config/timeouts.js';
import { TrainerError } from '../errors.js';
import { OomKills } from '../os/oom-kills.js';
import { processInfo } from '../os/process-info.js';
import type { AgentEvent, FailpointFault, WorkerProgress } from '../rpc/generated/messages.js';
import type {
  SaveCommand,
  SnapshotKept,
  SnapshotReport,
  WorkerAssignment,
  WorkerEvent,
} from '../worker/messages.js';
import { HeartbeatAge } from './heartbeat-age.js';
import { ResidentHistory } from './resident-history.js';
import { describeOperation, type WorkerFault } from './worker-failure.js';
import type { RankProcesses, WorkerPool } from './worker-pool.js';
import type { WorkerExit, WorkerStream } from './worker-process.js';
import type { WorkerStack } from './worker-stack.js';

export interface NodeWorkersListener {
  line(rank: number, line: string, stream: WorkerStream): void;
  /** Called with a worker's report of a step, a validation or its part of a checkpoint. */
  report(event: AgentEvent): void;
  /** Called when a worker has written its part of a snapshot. */
  snapshot(report: SnapshotReport): void;
  /** Called for each fault; a worker may have several. */
  failed(fault: WorkerFault): void;
  /** Called once, when every worker has finished and its process has ended with code 0, or was killed as it did not end. */
  finished(stoppedEarly: boolean): void;
}

/** The workers of a node: reports when all are ready or finished, which one failed and why, and the progress of each. */
export class NodeWorkers {
  #processes: RankProcesses | null = null;
  readonly #oomKills = new OomKills();
  readonly #heartbeatAge = new HeartbeatAge();
  readonly #stopAge = new HeartbeatAge();
  readonly #memory = new Map<number, ResidentHistory>();
  readonly #killed = new Set<number>();
  readonly #ready = new Set<number>();
  readonly #finished = new Set<number>();
  readonly #ended = new Set<number>();
  readonly #endedWell = new Set<number>();
  #ranks: readonly number[] = [];
  #stoppedEarly = false;
  #hasBegun = false;
  #onReady: () => void = () => undefined;

  constructor(
    private readonly listener: NodeWorkersListener,
    private readonly pool: WorkerPool,
  ) {}

  /** Starts one worker for each assignment. Resolves when all are ready; stays pending if one of them fails before. */
  start(assignments: readonly WorkerAssignment[]): Promise<void> {
    this.#ranks = assignments.map(({ topology }) => topology.rank);
    this.#processes = this.pool.start(assignments, {
      event: (rank, event) => this.#onEvent(rank, event),
      line: (rank, line, stream) => this.listener.line(rank, line, stream),
      exit: (exit) => this.#onExit(exit),
    });
    return new Promise((resolve) => {
      this.#onReady = resolve;
    });
  }

  /** Tells the workers, if there are any, to train; a coordinator that takes the run over repeats the command. */
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = this.#ranks.length > 0;
    this.#processes?.send({ type: 'begin' });
  }

  armFailpoint({ rank, specification }: FailpointFault): void {
    this.#processes?.send({ type: 'failpoint', specification }, [rank]);
  }

  stackOf(rank: number, timeoutMs: number): Promise<WorkerStack> {
    return this.#processes!.stackOf(rank, timeoutMs);
  }

  /** Returns the pid of a worker; 0 if there is none. */
  pidOf(rank: number): number {
    return this.#processes?.pidOf(rank) ?? 0;
  }

  /** Kills a worker; its progress before that stays readable. */
  kill(rank: number): void {
    this.#killed.add(rank);
    this.#processes?.kill(rank);
  }

  /** Forwards the coordinator's command about a save, or the news that the node holds a snapshot. */
  save(command: SaveCommand | SnapshotKept): void {
    this.#processes?.send(command);
  }

  /** Makes the workers drop the generation: they keep their processes for the next one. */
  release(): void {
    this.#processes?.send({ type: 'release' });
  }

  /** Waits as RankProcesses.end. */
  async end(graceMs: number): Promise<number[]> {
    return (await this.#processes?.end(graceMs)) ?? [];
  }

  /** Samples the kernel's count of OOM kills; called at intervals. */
  lookForOomKills(): void {
    this.#oomKills.look();
  }

  /** Reads the progress of every started worker from its control block and from the kernel. */
  progress(progressOf: (rank: number) => RankProgress): WorkerProgress[] {
    return this.#ranks.flatMap((rank): WorkerProgress[] => {
      const pid = this.pidOf(rank);
      if (pid === 0 || this.#killed.has(rank)) return [];
      const progress = progressOf(rank);
      const { state, residentBytes } = processInfo(pid);
      if (residentBytes > 0) this.#memoryOf(rank).add(residentBytes);
      const isStopped = state === 'T';
      // A worker that is stopped only now and then makes progress in between.
      const stopAgeMs = this.#stopAge.idleMs(rank, isStopped ? progress.heartbeat : -1);
      return [
        {
          rank,
          pid,
          step: progress.step,
          phase: progress.phase,
          operation: describeOperation(progress),
          processState: state,
          residentBytes,
          idleMs: this.#heartbeatAge.idleMs(rank, progress.heartbeat),
          layer: progress.operation?.layer ?? -1,
          sequence: progress.operation?.sequence ?? 0,
          waitingFor: progress.operation?.waitingFor ?? -1,
          stalledMs: progress.operation?.stalledMs ?? 0,
          stoppedMs: isStopped ? stopAgeMs : 0,
        },
      ];
    });
  }

  #memoryOf(rank: number): ResidentHistory {
    const memory = this.#memory.get(rank) ?? new ResidentHistory();
    this.#memory.set(rank, memory);
    return memory;
  }

  #onEvent(rank: number, event: WorkerEvent): void {
    switch (event.type) {
      case 'ready':
        this.#ready.add(rank);
        if (this.#ready.size === this.#ranks.length) this.#onReady();
        return;
      case 'step':
        this.listener.report({ event: 'step', step: event.report });
        return;
      case 'validation':
        this.listener.report({ event: 'validation', validation: event.report });
        return;
      case 'saving':
        this.listener.report({ event: 'saving', saving: event.report });
        return;
      case 'snapshot':
        this.listener.snapshot(event.report);
        return;
      case 'shards':
        this.listener.report({ event: 'shards', shards: event.report });
        return;
      case 'failed': {
        const error = new TrainerError(event.code, event.message, event.context);
        this.listener.failed({ rank, pid: this.pidOf(rank), error, code: null, signal: null });
        return;
      }
      case 'released':
        // The process itself handles it.
        return;
      case 'finished':
        this.#finished.add(rank);
        this.#stoppedEarly ||= event.stoppedEarly;
        setTimeout(() => this.#endLate(rank), GRACE.exitMs).unref();
    }
  }

  /** Kills a worker that has finished and is still there: a library may hang as its process ends, and all is stored. */
  #endLate(rank: number): void {
    if (this.#ended.has(rank) || this.#killed.has(rank)) return;
    const line = `the worker has finished, and is killed as it does not end within ${GRACE.exitMs / 1000} s`;
    this.listener.line(rank, line, 'stderr');
    this.kill(rank);
  }

  #onExit({ rank, pid, code, signal, killedByUs, spawnError }: WorkerExit): void {
    this.#ended.add(rank);
    if (this.#finished.has(rank) && (code === 0 || this.#killed.has(rank))) {
      this.#endedWell.add(rank);
      if (this.#endedWell.size === this.#ranks.length) this.listener.finished(this.#stoppedEarly);
      return;
    }
    if (killedByUs) return;
    // Before its end, the run sends no SIGKILL itself, but the kernel does when memory runs out.
    const why = signal === 'SIGKILL' ? this.#oomKills.explain(this.#memoryOf(rank).describe()) : '';
    const how = signal === null ? `ended with code ${code}` : `was killed by ${signal}${why}`;
    const what =
      spawnError === undefined
        ? `worker (pid ${pid}) ${how}`
        : `the worker cannot be started: ${spawnError.message}`;
    const error = new TrainerError('WORKER_DIED', what);
    this.listener.failed({ rank, pid, error, code, signal });
  }
}
