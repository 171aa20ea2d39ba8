import { setTimeout as sleep } from 'node:timers/promises';
import type { RunFolder, RunRecord } from '@locmoe/run-format';
import { processIdentity } from '@locmoe/run-format/process-identity';
import { isLive, reachableAddress } from '../coordinator/planning/run-liveness.js';
import { asTrainerError, TrainerError } from '../errors.js';
import { CoordinatorClient } from '../rpc/coordinator-client.js';
import type { Fault, StatusReply } from '../rpc/generated/messages.js';
import type { Security } from '../rpc/security.js';
import { coordinatorProcess, processesOf, type RunProcess, type RunProcesses } from './run-process.js';

const POLL_MS = 50;

/** A live run of this user on this machine, to inject faults into. Its coordinator may change. */
export class LiveRun {
  readonly #seen = new Map<string, RunProcess>();
  #client: CoordinatorClient | null = null;

  /** @throws TrainerError `BAD_INPUT` if the run is over, or its coordinator is no process of this user on this machine */
  static async open(folder: RunFolder, security: Security): Promise<LiveRun> {
    const run = new LiveRun(folder, security);
    const { runId } = run.record;
    coordinatorProcess(run.record);
    if (await run.isOver())
      throw new TrainerError('BAD_INPUT', `run ${runId} is not going on: there is nothing to disturb`);
    return run;
  }

  private constructor(
    readonly folder: RunFolder,
    private readonly security: Security,
  ) {}

  get record(): RunRecord {
    const record = this.folder.readRecord();
    if (record === null)
      throw new TrainerError('BAD_INPUT', `${this.folder.directory} holds no readable run.json`);
    return record;
  }

  /** All processes of the run that were found so far. */
  get seen(): readonly RunProcess[] {
    return [...this.#seen.values()];
  }

  /** Tells whether the run has ended or has no coordinator. */
  async isOver(): Promise<boolean> {
    return !(await isLive(this.record, this.security));
  }

  /** Returns null while no coordinator answers. */
  async status(): Promise<StatusReply | null> {
    try {
      return await this.#connected().status();
    } catch (error) {
      const { code } = asTrainerError(error);
      // A coordinator takes its port before it leads the run.
      if (code === 'UNAVAILABLE' || code === 'BAD_INPUT') return null;
      throw error;
    }
  }

  /**
   * Waits until the run trains: a step of the current generation is done.
   *
   * @param comesBack true if a run without a coordinator is not over, as a supervisor starts another
   * @returns its processes; null once `signal` is aborted or, unless `comesBack`, the run is over
   * @throws TrainerError `NO_RESOURCE` after `timeoutMs`
   */
  async untilTraining(
    timeoutMs: number,
    signal: AbortSignal,
    comesBack: boolean,
  ): Promise<{ readonly status: StatusReply; readonly processes: RunProcesses } | null> {
    const deadline = performance.now() + timeoutMs;
    while (!signal.aborted) {
      const status = await this.status();
      const { state } = this.record;
      if (state === 'finished' || state === 'failed') return null;
      if (status === null && !comesBack && (await this.isOver())) return null;
      if (status?.state === 'running' && status.step > 0) {
        const processes = this.#look(status);
        if (processes !== null) return { status, processes };
      }
      if (performance.now() > deadline)
        throw new TrainerError(
          'NO_RESOURCE',
          `run ${this.folder.runId} did not train within ${timeoutMs / 1000} s: it is ${status?.state ?? 'without a coordinator'}`,
        );
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
    return null;
  }

  /** Returns null if not all processes exist: the run has just failed, or its first heartbeats are on their way. */
  #look(status: StatusReply): RunProcesses | null {
    const { record } = this;
    // A coordinator that takes a run over answers before it has written its record.
    if (processIdentity(record.pid) !== record.process) return null;
    const processes = processesOf(record, status);
    const { coordinator, agents, workers } = processes;
    if (workers.length < status.workers.length || workers.length === 0) return null;
    for (const each of [coordinator, ...agents, ...workers])
      this.#seen.set(`${each.pid}/${each.identity}`, each);
    return processes;
  }

  /** @throws TrainerError `BAD_INPUT` if the run takes no faults */
  async inject(fault: Fault): Promise<void> {
    await this.#connected().injectFault(fault);
  }

  close(): void {
    this.#client?.close();
  }

  #connected(): CoordinatorClient {
    const address = reachableAddress(this.record);
    if (this.#client?.address !== address) {
      this.#client?.close();
      this.#client = new CoordinatorClient(address, this.security);
    }
    return this.#client;
  }
}
