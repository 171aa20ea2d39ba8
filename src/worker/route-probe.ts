import path from 'node:path';
import { numStepsOf, RunFolder } from '@locmoe/run-format';
import { rowBytesOf } from '../config/wire-precision.js';
import type { ValidationBatch } from '../data/batch.js';
import type { Dataset } from '../data/dataset.js';
import { documentEnds } from '../data/document-ends.js';
import type { Loader } from '../data/loader.js';
import type { Logger } from '../logger.js';
import type { LanguageModel } from '../model/language-model.js';
import { recordValidation } from '../model/record-validation.js';
import type { WorkerAssignment } from './messages.js';
import { RouteFiles } from './route-files.js';

/** Sequences of the probe, unless there are more domains, of which each has one. */
const SEQUENCES = 4;
/** Tokens of each sequence, which fill a screen. */
const TOKENS = 128;
/** Number of steps at equal distances. The powers of two are added, as routing changes most in the first steps. */
const EVEN_STEPS = 16;

/** Records how the same validation text is routed at some steps (train.probeRoutes). */
export class RouteProbe {
  readonly #batch: ValidationBatch;
  readonly #endsOfDomain: readonly Float64Array[];
  readonly #files: RouteFiles;
  readonly #every: number;

  /** @param step last completed step: files of later steps are removed */
  constructor(
    private readonly model: LanguageModel,
    { dataset, loader, step, logger, ...assignment }: ProbeOptions,
  ) {
    const { config, topology, checkpointDir } = assignment;
    const perDomain = Math.max(1, Math.floor(SEQUENCES / config.data.domains.length));
    const perRank = Math.ceil((perDomain * config.data.domains.length) / topology.worldSize);
    this.#batch = firstTokens(loader.validationBatches(perDomain, perRank * topology.worldSize)[0]!, TOKENS);
    this.#endsOfDomain = dataset.domains.map(({ validation }) =>
      documentEnds(validation.ids, dataset.endOfText),
    );
    const { probe } = new RunFolder(path.dirname(checkpointDir));
    this.#files = new RouteFiles(probe, { config, topology, logger }, step);
    this.#every = Math.ceil(numStepsOf(config) / EVEN_STEPS);
  }

  /** @param step completed updates; 0 before the first one */
  isDue(step: number): boolean {
    return (step & (step - 1)) === 0 || step % this.#every === 0;
  }

  /** Routes the text and writes this rank's share of it; a collective. */
  record(step: number): void {
    const { model } = this;
    const recording = { model, step, endsOfDomain: this.#endsOfDomain, rowBytes: rowBytesOf(model.config) };
    const table = recordValidation(recording, this.#batch);
    // A rank may have only padding.
    if (table.step.length > 0) this.#files.write(step, table);
  }
}

interface ProbeOptions extends Pick<WorkerAssignment, 'config' | 'topology' | 'checkpointDir'> {
  readonly dataset: Dataset;
  readonly loader: Loader;
  readonly step: number;
  readonly logger: Logger;
}

/** Cuts each sequence of a batch to its first tokens, which later ones have no influence on. */
function firstTokens(batch: ValidationBatch, length: number): ValidationBatch {
  const { seqLen, numSequences, packed } = batch;
  if (seqLen <= length) return batch;
  const cut = <T extends Int32Array | Uint8Array>(values: T): T => {
    const kept = values.slice(0, numSequences * length) as T;
    for (let row = 0; row < numSequences; row++)
      kept.set(values.subarray(row * seqLen, row * seqLen + length), row * length);
    return kept;
  };
  return {
    ...batch,
    seqLen: length,
    tokenIds: cut(batch.tokenIds),
    targets: cut(batch.targets),
    packed: packed && { ...packed, positions: cut(packed.positions), counted: cut(packed.counted) },
  };
}
