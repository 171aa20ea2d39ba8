import path from 'node:path';
import {
  appendRecord,
  type CheckpointReport,
  type GenerationStart,
  type GlobalStep,
  type MetricsRecord,
  type RankBeat,
  type RunFolder,
  type RunRecord,
  type Validation,
} from '@locmoe/run-format';
import { machineIdentity, processIdentity } from '@locmoe/run-format/process-identity';
import type { Heartbeat, RankSpeed } from '../rpc/generated/messages.js';
import { VERSION } from '../rpc/version.js';
import type { DiskTolerance } from './disk-tolerance.js';
import type { GenerationView, RunListener, RunSnapshot } from './run-listener.js';
import type { RunState } from './run-state.js';

/** Heartbeats arrive twice a second from every node; one record of all ranks in this interval is enough. */
const HEARTBEAT_RECORD_MS = 2_000;

/** Omits the time from each type of a union. */
type Untimed<Record> = Record extends unknown ? Omit<Record, 'time'> : never;

/** Writes what happens in a run into its folder: its state to `run.json`, all else to `metrics.ndjson`. */
export class RunRecorder implements RunListener {
  #record: RunRecord;
  #heartbeatRecordedMs = Number.NEGATIVE_INFINITY;

  /**
   * Writes `run.json`, by which `status` and `logs` find the run.
   *
   * @param origin fields of `run.json` besides the process and the state
   * @param generation number of the generation that begins; null if another process's generation continues
   */
  constructor(
    private readonly folder: RunFolder,
    private readonly disk: DiskTolerance,
    origin: Omit<RunRecord, 'machine' | 'pid' | 'process' | 'state' | 'startedAt' | 'ledSince' | 'version'>,
    generation: GenerationStart | null,
  ) {
    const ledSince = new Date().toISOString();
    this.#record = {
      ...origin,
      version: VERSION,
      machine: machineIdentity(),
      pid: process.pid,
      process: processIdentity(process.pid),
      state: 'waiting',
      // A resumed run keeps its start time.
      startedAt: folder.readRecord()?.startedAt ?? ledSince,
      ledSince,
    };
    folder.writeRecord(this.#record);
    if (generation !== null) this.#append({ type: 'generation', ...generation });
  }

  generation({ generation, resumedFrom }: GenerationView): void {
    this.#write({ generation, state: 'waiting' });
    this.#append({ type: 'generation', generation, resumedFrom });
  }

  state(state: RunState): void {
    const stopped = state.kind === 'finished' ? state.stopped : null;
    this.#write({ state: state.kind, ...(stopped !== null && { stopped }) });
  }

  /** Records that the run is over and this process goes on to serve it. */
  lingers(): void {
    this.#write({ lingers: true });
  }

  #write(changes: Partial<RunRecord>): void {
    const record = { ...this.#record, ...changes };
    this.#record = record;
    this.disk.write(path.join(this.folder.directory, 'run.json'), () => this.folder.writeRecord(record));
  }

  step(step: GlobalStep): void {
    this.#append({ type: 'step', ...step });
  }

  validation(report: Validation): void {
    this.#append({ type: 'validation', ...report });
  }

  checkpoint(report: CheckpointReport): void {
    this.#append({ type: 'checkpoint', ...report });
  }

  heartbeat(_node: number, _heartbeat: Heartbeat, run: RunSnapshot): void {
    const { ranks } = run;
    const now = performance.now();
    if (ranks.length === 0 || now - this.#heartbeatRecordedMs < HEARTBEAT_RECORD_MS) return;
    this.#heartbeatRecordedMs = now;
    const speeds = new Map(run.speeds.map((speed) => [speed.rank, speed]));
    this.#append({
      type: 'heartbeat',
      ranks: ranks.map(({ rank, node, step, phase, operation, processState, residentBytes }) => ({
        rank,
        node,
        step,
        phase,
        operation,
        processState,
        residentBytes,
        ...speedOf(speeds.get(rank)),
      })),
    });
  }

  #append(record: Untimed<MetricsRecord>): void {
    const { metrics } = this.folder;
    this.disk.write(metrics, () => appendRecord(metrics, { time: Date.now(), ...record }));
  }
}

/** Rounds the numbers, since a record of 64 ranks is written every two seconds. */
function speedOf(speed: RankSpeed | undefined): Pick<RankBeat, 'ownMs' | 'lostShare'> {
  if (speed === undefined) return {};
  return { ownMs: Math.round(10 * speed.p50Ms) / 10, lostShare: Math.round(1e3 * speed.lostShare) / 1e3 };
}
