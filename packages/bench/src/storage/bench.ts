import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { asTrainerError, EXIT, TrainerError } from 'locmoe/internal/errors';
import { makeBenchFolders } from '../folders.js';
import { machine } from '../machine.js';
import { measureRun, type StorageRun } from './measure.js';
import { MemoryLimit } from './memory-limit.js';
import { type LimitFigures, markdownOf, type SizeFigures, type StorageFigures } from './report.js';

export interface BenchStorageOptions {
  readonly quick: boolean;
  readonly workDir: string;
  /** Output folder of the report. */
  readonly out: string;
  readonly dataDir: string;
  /** The command line, quoted in the report. */
  readonly command: string;
}

/** 1,024 tokens a step of one rank; an expert has 131,072 parameters. */
const CONFIG = `
name: storage
model: { dModel: 128, numHeads: 4, numDenseLayers: 1, numSparseLayers: 1, dFeedForward: 512, vocabSize: 4096, seqLen: 256 }
moe: { numExperts: 8, router: hash, capacityFactor: null }
data: { domains: [en, zh, code, telecom], maxBytesPerDomain: 1000000 }
train: { steps: 40, globalBatch: 4, learningRate: 0.001, expertUpdate: touched, validateEvery: 10000, validationSequences: 1, checkpointEvery: 10000 }
logLevel: debug
`;
const EXPERT_SIZE = 2 * 128 * 512;
const FLOAT_BYTES = 4;
/** Values and two moments, on the disk. */
const STORED_BYTES = 3 * FLOAT_BYTES * EXPERT_SIZE;
/** With gradients, in memory. */
const MEMORY_BYTES = 4 * FLOAT_BYTES * EXPERT_SIZE;
/** Steps before those that count. */
const WARM_UP = 8;

/** Which experts a step touches: those of the domain of its one sequence, or any. */
const BATCHES = {
  domain: {
    sets: ['moe.expertGroups=4', 'data.placement=domain', 'train.globalBatch=1', 'model.seqLen=1024'],
    /** All experts of a group. */
    slots: 128,
  },
  mixed: { sets: [], slots: 400 },
} as const;
type Batches = keyof typeof BATCHES;

const SIZES = [8, 32, 128, 512] as const;
/** Between what both kinds need for the most experts. */
const LIMIT_MB = 1200;

/**
 * `locmoe bench storage`: the same trainings with experts in memory and in a file: memory, time of a step, and what
 * happens where memory is limited.
 *
 * @returns the exit code
 * @throws TrainerError `INTERNAL` if a run failed, or both kinds do not have the same losses
 */
export async function benchStorage(options: BenchStorageOptions): Promise<number> {
  makeBenchFolders(options);
  writeFileSync(configFile(options), CONFIG);
  const sizes = options.quick ? SIZES.slice(0, 2) : SIZES;
  const figures: Record<Batches, Record<number, SizeFigures>> = { domain: {}, mixed: {} };
  for (const batches of ['domain', 'mixed'] as const)
    for (const numExperts of sizes) {
      const found = await compare(options, batches, numExperts);
      figures[batches][numExperts] = found;
      console.log(
        `${batches}, ${numExperts} experts: ${found.memoryKindMB} MB in memory, ${found.residentMB} MB with a file; ` +
          `a step takes ${found.stepTimeVsResident.toFixed(2)} times as long`,
      );
    }
  const limit = options.quick ? null : await underLimit(options);
  const all: StorageFigures = {
    experts: figures.domain,
    mixed: figures.mixed,
    limitMB: limit === null ? null : LIMIT_MB,
    limit,
    machine: machine(),
    command: options.command,
  };
  writeFileSync(path.join(options.out, 'storage.json'), `${JSON.stringify(all, null, 2)}\n`);
  writeFileSync(path.join(options.out, 'storage.md'), markdownOf(all));
  console.log(`report: ${path.join(options.out, 'storage.md')}`);
  return EXIT.done;
}

function configFile({ workDir }: BenchStorageOptions): string {
  return path.resolve(workDir, 'storage.yaml');
}

type Kind = 'memory' | 'file';

function run(
  options: BenchStorageOptions,
  batches: Batches,
  numExperts: number,
  kind: Kind,
  onStart?: (pid: number) => void,
): Promise<StorageRun> {
  const { sets, slots } = BATCHES[batches];
  const budgetMB = Math.ceil((Math.min(slots, numExperts) * MEMORY_BYTES) / 1e6);
  return measureRun({
    config: configFile(options),
    sets: [
      ...sets,
      ...[`moe.numExperts=${numExperts}`, `moe.expertStorage.kind=${kind}`],
      `moe.expertStorage.budgetMB=${budgetMB}`,
    ],
    folder: path.resolve(options.workDir, `${batches}-${numExperts}-${kind}`),
    dataDir: options.dataDir,
    warmUp: WARM_UP,
    ...(onStart && { onStart }),
  });
}

async function compare(
  options: BenchStorageOptions,
  batches: Batches,
  numExperts: number,
): Promise<SizeFigures> {
  const inMemory = await run(options, batches, numExperts, 'memory');
  const inFile = await run(options, batches, numExperts, 'file');
  if (String(inFile.losses) !== String(inMemory.losses))
    throw new TrainerError('INTERNAL', `${batches}, ${numExperts} experts: the losses of both kinds differ`);
  const steps = inFile.losses.length - WARM_UP;
  const { touched, reads, bytesIn, bytesOut, waitMs } = inFile.slots!;
  return {
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
}

/** The most experts under a limit of memory, with each kind; null where none can be set. */
async function underLimit(options: BenchStorageOptions): Promise<LimitFigures | null> {
  const numExperts = SIZES.at(-1)!;
  const limit = MemoryLimit.create(LIMIT_MB * 1e6);
  if (limit === null) return null;
  try {
    const limited = (kind: Kind) => run(options, 'domain', numExperts, kind, (pid) => limit.add(pid));
    const inFile = await limited('file');
    const [file, steps] = [{ stepMs: inFile.stepMs }, inFile.losses.length];
    try {
      await limited('memory');
      return { numExperts, steps, file, memory: 'trains too' };
    } catch (error) {
      if (asTrainerError(error).code === 'INTERRUPTED') throw error;
      return { numExperts, steps, file, memory: (error as Error).message };
    }
  } finally {
    limit.remove();
  }
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
