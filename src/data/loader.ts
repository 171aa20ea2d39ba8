import { TrainerError } from '../errors.js';
import type { Batch, ValidationBatch } from './batch.js';
import type { Dataset, TokenSplit } from './dataset.js';
import type { Split } from './document.js';
import { domainMixture } from './domain-mixture.js';
import { assignToRanks, type HomeRanks } from './placement.js';
import { permutation } from './shuffle.js';

export interface LoaderOptions {
  readonly dataset: Dataset;
  /** Sampling weight of each domain of the dataset; equal if undefined. */
  readonly weights: readonly number[] | undefined;
  readonly seed: number;
  /** Sequences per step over all ranks. */
  readonly globalBatch: number;
  readonly seqLen: number;
  readonly rank: number;
  readonly worldSize: number;
  /**
   * Preferred ranks of each domain's sequences, by domain id; null assigns sequences regardless of domain.
   */
  readonly homeRanksOfDomain?: HomeRanks | null;
}

/**
 * Batches as a pure function of the step, so a resumed run gets the same ones. The global batch does not
 * depend on the number of ranks; rank r gets its sequences r*B/W to (r+1)*B/W, or as many chosen by domain if
 * domains have home ranks (see assignToRanks).
 */
export interface Loader {
  /** This rank's share of the training batch of a step, counted from 0. */
  batchForStep(step: number): Batch;
  /** The training batch of a step of all ranks, in the order of the run's sequences. */
  globalBatchForStep(step: number): Batch;
  /** Where the sequences of this rank's batch stand in the training text. */
  placesForStep(step: number): SequencePlace[];
  /**
   * The same batches at every call: up to `numSequences` windows of each domain, evenly spaced over its
   * validation text. Batches have the size of training batches; the last one is padded (see ValidationBatch).
   */
  validationBatches(numSequences: number): ValidationBatch[];
}

export interface SequencePlace {
  /** Name of the domain. */
  readonly domain: string;
  /** Its tokens [begin, end) of the domain's training tokens. */
  readonly begin: number;
  readonly end: number;
}

interface Window {
  readonly domain: number;
  readonly index: number;
}

/**
 * Sequences are windows of seqLen + 1 tokens, one every seqLen tokens, so that every token but the first is
 * predicted once. Each epoch of a domain is a seeded permutation of its windows.
 *
 * @throws TrainerError `BAD_CONFIG` if the batch cannot be split evenly, the weights do not fit the domains,
 *   or a domain is shorter than a window
 */
export function createLoader(options: LoaderOptions): Loader {
  const { dataset, seqLen, globalBatch } = options;
  checkLoader(options);
  const weights = options.weights ?? dataset.domains.map(() => 1);
  const windowAt = trainingWindows(options, weights);
  const allForStep = (step: number) =>
    Array.from({ length: globalBatch }, (_, i) => windowAt(step * globalBatch + i));
  const windowsForStep = (step: number) => {
    const global = allForStep(step);
    return placesOf(global, options).map((place) => global[place]!);
  };
  return {
    batchForStep: (step) => fillBatch(dataset, 'train', windowsForStep(step), seqLen),
    globalBatchForStep: (step) => fillBatch(dataset, 'train', allForStep(step), seqLen),
    placesForStep: (step) =>
      windowsForStep(step).map(({ domain, index }) => ({
        domain: dataset.domains[domain]!.name,
        begin: index * seqLen,
        end: (index + 1) * seqLen + 1,
      })),
    validationBatches(numSequences) {
      const windows = validationWindows(dataset, seqLen, numSequences);
      const numBatches = Math.ceil(windows.length / globalBatch);
      return Array.from({ length: numBatches }, (_, k) => {
        const first = k * globalBatch;
        const global = Array.from(
          { length: globalBatch },
          (_, i) => windows[Math.min(first + i, windows.length - 1)]!,
        );
        const places = placesOf(global, options);
        const batch = fillBatch(
          dataset,
          'validation',
          places.map((place) => global[place]!),
          seqLen,
        );
        return {
          ...batch,
          valid: Uint8Array.from(places, (place) => (first + place < windows.length ? 1 : 0)),
        };
      });
    },
  };
}

/** Indices in the global batch of this rank's sequences, ascending. */
function placesOf(
  global: readonly Window[],
  { rank, worldSize, homeRanksOfDomain }: LoaderOptions,
): number[] {
  const local = global.length / worldSize;
  if (!homeRanksOfDomain) return Array.from({ length: local }, (_, i) => rank * local + i);
  const rankOfSequence = assignToRanks(
    global.map(({ domain }) => domain),
    homeRanksOfDomain,
    worldSize,
  );
  return [...global.keys()].filter((place) => rankOfSequence[place] === rank);
}

/** The window of the g-th sequence of the run. Caches the permutation of one epoch per domain. */
function trainingWindows(
  { dataset, seed, seqLen }: LoaderOptions,
  weights: readonly number[],
): (sequence: number) => Window {
  const mixture = domainMixture(weights);
  const epochs: { epoch: number; windowAt: (place: number) => number }[] = dataset.domains.map(() => ({
    epoch: -1,
    windowAt: (place) => place,
  }));
  return (sequence) => {
    const { domain, ordinal } = mixture.at(sequence);
    const { name, train } = dataset.domains[domain]!;
    const numWindows = windowsIn(train, seqLen);
    const epoch = Math.floor(ordinal / numWindows);
    if (epochs[domain]!.epoch !== epoch)
      epochs[domain] = { epoch, windowAt: permutation(numWindows, `${seed}/${name}/${epoch}`) };
    return { domain, index: epochs[domain]!.windowAt(ordinal % numWindows) };
  };
}

function validationWindows(dataset: Dataset, seqLen: number, numSequences: number): Window[] {
  return dataset.domains.flatMap(({ validation }, domain) => {
    const numWindows = windowsIn(validation, seqLen);
    const taken = Math.min(numSequences, numWindows);
    return Array.from({ length: taken }, (_, i) => ({ domain, index: Math.floor((i * numWindows) / taken) }));
  });
}

/** Number of windows of seqLen + 1 tokens, one every seqLen tokens, in a split. */
function windowsIn(split: TokenSplit, seqLen: number): number {
  return Math.max(0, Math.floor((split.ids.length - 1) / seqLen));
}

function fillBatch(dataset: Dataset, split: Split, windows: readonly Window[], seqLen: number): Batch {
  const tokenIds = new Int32Array(windows.length * seqLen);
  const targets = new Int32Array(windows.length * seqLen);
  windows.forEach(({ domain, index }, row) => {
    const first = index * seqLen;
    const window = dataset.domains[domain]![split].ids.slice(first, first + seqLen + 1);
    tokenIds.set(window.subarray(0, seqLen), row * seqLen);
    targets.set(window.subarray(1), row * seqLen);
  });
  const domains = Int32Array.from(windows, ({ domain }) => domain);
  return { numSequences: windows.length, seqLen, tokenIds, targets, domains };
}

function checkLoader({ dataset, weights, globalBatch, worldSize, seqLen }: LoaderOptions): void {
  if (globalBatch % worldSize !== 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `train.globalBatch: ${globalBatch} sequences cannot be split evenly over ${worldSize} workers; use a ` +
        `multiple of ${worldSize}`,
    );
  if (weights && (weights.length !== dataset.domains.length || weights.some((weight) => !(weight > 0))))
    throw new TrainerError(
      'BAD_CONFIG',
      `data.weights: ${weights.length} weights for ${dataset.domains.length} domains; give one positive ` +
        'weight a domain',
    );
  for (const domain of dataset.domains)
    for (const split of ['train', 'validation'] as const)
      if (windowsIn(domain[split], seqLen) === 0)
        throw new TrainerError(
          'BAD_CONFIG',
          `model.seqLen: domain ${domain.name} has ${domain[split].ids.length} ${split} tokens, fewer than ` +
            `one window of ${seqLen + 1}; shorten model.seqLen, give it more text ` +
            `(data.maxBytesPerDomain)${split === 'validation' ? ' or raise data.validationShare' : ''}`,
        );
}
