import { readFileSync } from 'node:fs';
import path from 'node:path';
import { asTrainerError, TrainerError } from 'locmoe/internal/errors';
import { Parts } from '../kit/parts.js';
import { STUDIES } from '../kit/read-yaml.js';
import { study } from '../kit/study.js';
import { percent, table } from '../kit/text.js';
import { MemoryLimit, measureRun, type StorageRun } from './measure.js';

const RECIPE = path.join(STUDIES, 'storage/recipe.yaml');
const EXPERT_SIZE = 2 * 128 * 512;
const FLOAT_BYTES = 4;
/** Values and two moments, on the disk. */
const STORED_BYTES = 3 * FLOAT_BYTES * EXPERT_SIZE;
/** Bytes of an expert in memory, gradients included. */
const MEMORY_BYTES = 4 * FLOAT_BYTES * EXPERT_SIZE;
/** Steps before those that count. */
const WARM_UP = 8;

/** Experts that a step touches: those of the domain of its one sequence, or any. */
const BATCHES = {
  domain: {
    sets: ['moe.expertGroups=4', 'data.placement=domain', 'train.globalBatch=1', 'model.seqLen=1024'],
    /** All experts of a group. */
    slots: 128,
  },
  mixed: { sets: [], slots: 400 },
} as const;
type Batches = keyof typeof BATCHES;
type Kind = 'memory' | 'file';

const SIZES = [8, 32, 128, 512] as const;
/** Between what both kinds need for the most experts. */
const LIMIT_MB = 1200;

/** One number of experts. MB are 10^6 bytes; bytes and times are of a step. */
interface SizeFigures {
  /** Peak of all processes with experts in memory, and in a file. */
  readonly memoryKindMB: number;
  readonly residentMB: number;
  readonly budgetMB: number;
  /** Weights and moments of all experts. */
  readonly storedMB: number;
  readonly touched: number;
  /** Share of these that was in memory. */
  readonly hits: number;
  readonly memoryKindStepMs: number;
  readonly stepMs: number;
  readonly stepTimeVsResident: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Wait for reads and writes of experts. */
  readonly exposedWaitMs: number;
}

type Sizes = Readonly<Record<number, SizeFigures>>;

interface LimitFigures {
  readonly numExperts: number;
  readonly steps: number;
  readonly file: { readonly stepMs: number };
  /** How the run with experts in memory ended. */
  readonly memory: string;
}

export interface Figures {
  /** A step touches the experts of one domain. */
  readonly experts: Sizes;
  /** A step may touch any. */
  readonly mixed: Sizes;
  /** Null if none could be set. */
  readonly limitMB: number | null;
  readonly limit: LimitFigures | null;
}

export default study({
  name: 'storage',
  description:
    'the same trainings with experts in memory and in a file: memory and time of a step by number of experts, and both under a limit of memory; with 512 experts they take 4 GB of the disk',
  quick: 'the two smallest models alone',
  options: {},

  /** @throws TrainerError `INTERNAL` if a run failed, or both kinds do not have the same losses */
  async measure({ quick, workDir, dataDir }): Promise<Figures> {
    const recipe = readFileSync(RECIPE, 'utf8');
    const sizes = quick ? SIZES.slice(0, 2) : SIZES;
    const part = (batches: Batches, numExperts: number, kind: Kind) => {
      const { sets, slots } = BATCHES[batches];
      const budgetMB = Math.ceil((Math.min(slots, numExperts) * MEMORY_BYTES) / 1e6);
      const all = [
        ...sets,
        ...[`moe.numExperts=${numExperts}`, `moe.expertStorage.kind=${kind}`],
        `moe.expertStorage.budgetMB=${budgetMB}`,
      ];
      const name = `${batches}-${numExperts}-${kind}`;
      return { name, kind: `trained ${numExperts} experts`, key: [recipe, all], sets: all };
    };
    const pairs = (['domain', 'mixed'] as const).flatMap((batches) =>
      sizes.map((numExperts) => ({
        batches,
        numExperts,
        memory: part(batches, numExperts, 'memory'),
        file: part(batches, numExperts, 'file'),
      })),
    );
    const parts = new Parts(
      { workDir, dataDir },
      pairs.flatMap(({ memory, file }) => [memory, file]),
    );
    const run = (
      { name, sets }: ReturnType<typeof part>,
      onStart?: (pid: number) => void,
    ): Promise<StorageRun> => {
      const folder = path.join(workDir, 'runs', name);
      return measureRun({
        config: RECIPE,
        sets,
        folder,
        dataDir,
        warmUp: WARM_UP,
        ...(onStart && { onStart }),
      });
    };
    const figures: Record<Batches, Record<number, SizeFigures>> = { domain: {}, mixed: {} };
    for (const { batches, numExperts, memory, file } of pairs) {
      const inMemory = await parts.do(memory, () => run(memory));
      const inFile = await parts.do(file, () => run(file));
      figures[batches][numExperts] = compare(batches, numExperts, inMemory, inFile);
    }
    const limit = quick
      ? null
      : await underLimit((kind, onStart) => run(part('domain', SIZES.at(-1)!, kind), onStart));
    return { experts: figures.domain, mixed: figures.mixed, limitMB: limit && LIMIT_MB, limit };
  },

  report: ({ experts, mixed, limitMB, limit }) => ({
    view: {
      domain: tableOf(experts),
      mixed: tableOf(mixed),
      limit: limit && { ...limit, limitMB, stepMs: limit.file.stepMs.toFixed(1) },
    },
  }),
});

function compare(
  batches: Batches,
  numExperts: number,
  inMemory: StorageRun,
  inFile: StorageRun,
): SizeFigures {
  if (String(inFile.losses) !== String(inMemory.losses))
    throw new TrainerError('INTERNAL', `${batches}, ${numExperts} experts: the losses of both kinds differ`);
  const steps = inFile.losses.length - WARM_UP;
  const { touched, reads, bytesIn, bytesOut, waitMs } = inFile.slots!;
  const figures = {
    memoryKindMB: megabytes(inMemory.peakBytes),
    residentMB: megabytes(inFile.peakBytes),
    budgetMB: megabytes(Math.min(BATCHES[batches].slots, numExperts) * MEMORY_BYTES),
    storedMB: megabytes(numExperts * STORED_BYTES),
    touched: touched / steps,
    hits: 1 - reads / touched,
    memoryKindStepMs: inMemory.stepMs,
    stepMs: inFile.stepMs,
    stepTimeVsResident: inFile.stepMs / inMemory.stepMs,
    bytesIn: bytesIn / steps,
    bytesOut: bytesOut / steps,
    exposedWaitMs: waitMs / steps,
  };
  console.log(
    `${batches}, ${numExperts} experts: ${figures.memoryKindMB} MB in memory, ${figures.residentMB} MB with a file; ` +
      `a step takes ${figures.stepTimeVsResident.toFixed(2)} times as long`,
  );
  return figures;
}

/** The most experts under a limit of memory, with each kind; null where none can be set. */
async function underLimit(
  run: (kind: Kind, onStart: (pid: number) => void) => Promise<StorageRun>,
): Promise<LimitFigures | null> {
  const limit = MemoryLimit.create(LIMIT_MB * 1e6);
  if (limit === null) return null;
  try {
    const { stepMs, losses } = await run('file', (pid) => limit.add(pid));
    const figures = { numExperts: SIZES.at(-1)!, steps: losses.length, file: { stepMs } };
    try {
      await run('memory', (pid) => limit.add(pid));
      return { ...figures, memory: 'trains too' };
    } catch (error) {
      if (asTrainerError(error).code === 'INTERRUPTED') throw error;
      return { ...figures, memory: (error as Error).message };
    }
  } finally {
    limit.remove();
  }
}

function tableOf(sizes: Sizes): string {
  const figures = Object.entries(sizes);
  const row = (title: string, of: (size: SizeFigures) => string) => [
    title,
    ...figures.map(([, size]) => of(size)),
  ];
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  return table([
    ['experts', ...figures.map(([numExperts]) => numExperts)],
    row('weights and moments of all experts', ({ storedMB }) => `${storedMB} MB`),
    row('peak memory, experts in memory', ({ memoryKindMB }) => `${memoryKindMB} MB`),
    row('peak memory, experts in a file', ({ residentMB }) => `${residentMB} MB`),
    row('budget of it for experts', ({ budgetMB }) => `${budgetMB} MB`),
    row('experts with tokens in a step', ({ touched }) => touched.toFixed(0)),
    row('of these in memory before it', ({ hits }) => percent(hits)),
    row('read a step', ({ bytesIn }) => mb(bytesIn)),
    row('written a step', ({ bytesOut }) => mb(bytesOut)),
    row('wait for both a step', ({ exposedWaitMs }) => ms(exposedWaitMs)),
    row('step, experts in memory', ({ memoryKindStepMs }) => ms(memoryKindStepMs)),
    row('step, experts in a file', ({ stepMs }) => ms(stepMs)),
    row('times as long', ({ stepTimeVsResident }) => stepTimeVsResident.toFixed(2)),
  ]);
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
