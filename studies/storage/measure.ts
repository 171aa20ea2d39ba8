import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type RunFolder, readRecords } from '@locmoe/run-format';
import { asTrainerError, TrainerError } from 'locmoe/internal/errors';
import type { SlotStatistics } from 'locmoe/internal/parameters/expert-slots';
import { median } from '../../packages/bench/src/statistics.js';
import { withPeakMemory } from '../../packages/bench/src/step/step-run.js';
import { runTraining } from '../../packages/bench/src/training.js';

interface StorageRunOptions {
  readonly config: string;
  readonly sets: readonly string[];
  readonly folder: string;
  readonly dataDir: string;
  /** Steps before those that count: each domain comes once at least. */
  readonly warmUp: number;
  readonly onStart?: (pid: number) => void;
}

export interface StorageRun {
  readonly losses: readonly (number | null)[];
  readonly stepMs: number;
  /** Peak of all processes together, checkpoint included. */
  readonly peakBytes: number;
  /** Statistics of the steps that count; null with experts in memory. */
  readonly slots: SlotStatistics | null;
}

/**
 * Trains, and removes the run.
 *
 * @throws TrainerError `INTERNAL` if the run failed, with the line that says why; `INTERRUPTED`
 */
export async function measureRun({
  warmUp,
  onStart = () => undefined,
  ...options
}: StorageRunOptions): Promise<StorageRun> {
  try {
    const { value: run, peakBytes } = await withPeakMemory((watch) =>
      runTraining({
        ...options,
        onStart: (pid) => {
          watch(pid);
          onStart(pid);
        },
      }),
    );
    const steps = readRecords(run.metrics).filter((record) => record.type === 'step');
    const counted = steps.slice(warmUp);
    return {
      losses: steps.map(({ loss }) => loss),
      stepMs: median(counted.map(({ stepMs }) => stepMs)),
      peakBytes,
      slots: statisticsOf(run, warmUp),
    };
  } catch (error) {
    throw asTrainerError(error).code === 'INTERRUPTED' ? error : (whyItFailed(options.folder) ?? error);
  } finally {
    rmSync(options.folder, { recursive: true, force: true });
  }
}

/** Returns what was counted since step `warmUp`. */
function statisticsOf(run: RunFolder, warmUp: number): SlotStatistics | null {
  const lines = readFileSync(path.join(run.logs, 'node-0.ndjson'), 'utf8').trimEnd().split('\n');
  const ofSteps = lines
    .map((line) => JSON.parse(line) as { msg: string; experts?: SlotStatistics })
    .filter(({ msg }) => msg === 'step')
    .flatMap(({ experts }) => experts ?? []);
  if (ofSteps.length === 0) return null;
  const [before, after] = [ofSteps[warmUp - 1]!, ofSteps.at(-1)!];
  const since = (figure: keyof SlotStatistics) => after[figure] - before[figure];
  return {
    touched: since('touched'),
    reads: since('reads'),
    waitMs: since('waitMs'),
    bytesIn: since('bytesIn'),
    bytesOut: since('bytesOut'),
  };
}

function whyItFailed(folder: string): TrainerError | null {
  try {
    const output = readFileSync(path.join(folder, 'output.txt'), 'utf8');
    const reason = /^locmoe: (?:run failed: )?(.*)$/m.exec(output)?.[1];
    return reason === undefined ? null : new TrainerError('INTERNAL', reason);
  } catch {
    return null;
  }
}

/** A memory cgroup, version 1 or 2: its processes may hold so much together, page cache included. */
export class MemoryLimit {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Null where none can be made: it takes root, or a cgroup of one's own. */
  static create(bytes: number): MemoryLimit | null {
    const own = readFileSync('/proc/self/cgroup', 'utf8');
    const v1 = /^\d+:(?:.*,)?memory(?:,.*)?:(.*)$/m.exec(own)?.[1];
    const v2 = /^0::(.*)$/m.exec(own)?.[1];
    const parent = v1 === undefined ? `/sys/fs/cgroup${v2}` : `/sys/fs/cgroup/memory${v1}`;
    const folder = `${parent}/locmoe-bench-${process.pid}`;
    try {
      mkdirSync(folder);
    } catch {
      return null;
    }
    const limit = new MemoryLimit(folder);
    try {
      writeFileSync(`${folder}/${v1 === undefined ? 'memory.max' : 'memory.limit_in_bytes'}`, String(bytes));
      return limit;
    } catch {
      limit.remove();
      return null;
    }
  }

  /** Limits a process and those that it starts from now on. */
  add(pid: number): void {
    writeFileSync(`${this.#folder}/cgroup.procs`, String(pid));
  }

  /** Call it when all its processes have ended. */
  remove(): void {
    rmdirSync(this.#folder);
  }
}
