import { TrainerError } from '../errors.js';
import type { Batch, ValidationBatch } from './batch.js';
import type { Dataset } from './dataset.js';
import { domainMixture } from './domain-mixture.js';
import type { Packing } from './packing.js';
import { assignToRanks, type HomeRanks } from './placement.js';
import { type Sequences, sequencesOf, type TokenRange } from './sequences.js';
import { permutation } from './shuffle.js';
import { SPLITS, type Split } from './split.js';

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
  /** Preferred ranks of each domain's sequences, by domain id; null assigns sequences regardless of domain. */
  readonly homeRanksOfDomain?: HomeRanks | null;
}

/**
 * Batches as a pure function of the step, so that a resumed run gets the same ones. The global batch does not
 * depend on the number of ranks; rank r gets its sequences r*B/W to (r+1)*B/W, or the same number chosen by
 * domain if domains have home ranks (see assignToRanks).
 */
export interface Loader {
  /** How question-answer samples were packed, by domain and split; empty for text. */
  readonly packings: readonly DomainPacking[];
  /** Returns this rank's share of the training batch of a step, counted from 0. */
  batchForStep(step: number): Batch;
  /** Returns the training batch of a step of all ranks, in the order of the run's sequences. */
  globalBatchForStep(step: number): Batch;
  /** Returns the domain id of each sequence of the training batch of a step of all ranks. */
  domainsForStep(step: number): Int32Array;
  /** Returns the tokens of this rank's sequences, or of each of their packed samples, in the training text. */
  placesForStep(step: number): SequencePlace[];
  /**
   * Returns the same batches at every call: up to `numSequences` sequences of each domain, evenly spaced over its
   * validation text. The last batch is padded (see ValidationBatch).
   *
   * @param size sequences of a batch over all ranks, by default those of a training batch
   */
  validationBatches(numSequences: number, size?: number): ValidationBatch[];
}

export interface DomainPacking {
  /** Name of the domain. */
  readonly domain: string;
  readonly split: Split;
  readonly packing: Packing;
}

export interface SequencePlace extends TokenRange {
  /** Name of the domain, whose training tokens these are. */
  readonly domain: string;
  /** Index of the sequence in the global batch. */
  readonly sequence: number;
}

/** Sequences of each domain by split. */
type SequencesOf = Readonly<Record<Split, readonly Sequences[]>>;

/** A sequence of a domain. */
interface Window {
  readonly domain: number;
  readonly index: number;
}

/**
 * Creates a loader, in which each epoch of a domain is a seeded permutation of its sequences.
 *
 * @throws TrainerError `BAD_CONFIG` if the batch cannot be split evenly, the weights do not fit the domains,
 *   or a domain has no whole sequence
 */
export function createLoader(options: LoaderOptions): Loader {
  const { dataset, seqLen, globalBatch } = options;
  const { domains, endOfText } = dataset;
  const sequencesIn = (split: Split) =>
    domains.map((domain) => sequencesOf(domain[split], endOfText, seqLen));
  const sequences = { train: sequencesIn('train'), validation: sequencesIn('validation') };
  checkLoader(options, sequences);
  const isPacked = domains.some(({ train }) => train.marks !== null);
  const weights = options.weights ?? domains.map(() => 1);
  const windowAt = trainingWindows(options, sequences.train, weights);
  const globalWindows = (step: number) =>
    Array.from({ length: globalBatch }, (_, i) => windowAt(step * globalBatch + i));
  const batchOf = (from: readonly Sequences[], global: readonly Window[], places: readonly number[]) =>
    fillBatch(from, { global, places, seqLen, isPacked });
  return {
    packings: domains.flatMap(({ name }, id) =>
      SPLITS.flatMap((split) => {
        const { packing } = sequences[split][id]!;
        return packing === null ? [] : [{ domain: name, split, packing }];
      }),
    ),
    batchForStep(step) {
      const global = globalWindows(step);
      return batchOf(sequences.train, global, placesOf(global, options));
    },
    globalBatchForStep(step) {
      const global = globalWindows(step);
      return batchOf(sequences.train, global, [...global.keys()]);
    },
    domainsForStep: (step) => Int32Array.from(globalWindows(step), ({ domain }) => domain),
    placesForStep(step) {
      const global = globalWindows(step);
      return placesOf(global, options).flatMap((place) => {
        const { domain, index } = global[place]!;
        const ranges = sequences.train[domain]!.rangesOf(index);
        const about = { domain: domains[domain]!.name, sequence: place };
        return ranges.map(({ begin, end }) => ({ ...about, begin, end }));
      });
    },
    validationBatches(numSequences, size = globalBatch) {
      const windows = validationWindows(sequences.validation, numSequences);
      const numBatches = Math.ceil(windows.length / size);
      return Array.from({ length: numBatches }, (_, k) => {
        const first = k * size;
        const global = Array.from(
          { length: size },
          (_, i) => windows[Math.min(first + i, windows.length - 1)]!,
        );
        const places = placesOf(global, options);
        return {
          ...batchOf(sequences.validation, global, places),
          valid: Uint8Array.from(places, (place) => (first + place < windows.length ? 1 : 0)),
          sequences: Int32Array.from(places, (place) => Math.min(first + place, windows.length - 1)),
          ranges: places.map((place) => {
            const { domain, index } = global[place]!;
            return sequences.validation[domain]!.rangesOf(index);
          }),
        };
      });
    },
  };
}

/** Returns the indices in the global batch of this rank's sequences, ascending. */
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

/** Returns the g-th sequence of the run. Caches the permutation of one epoch per domain. */
function trainingWindows(
  { dataset, seed }: LoaderOptions,
  sequences: readonly Sequences[],
  weights: readonly number[],
): (sequence: number) => Window {
  const mixture = domainMixture(weights);
  const epochs: { epoch: number; windowAt: (place: number) => number }[] = dataset.domains.map(() => ({
    epoch: -1,
    windowAt: (place) => place,
  }));
  return (sequence) => {
    const { domain, ordinal } = mixture.at(sequence);
    const { name } = dataset.domains[domain]!;
    const numWindows = sequences[domain]!.count;
    const epoch = Math.floor(ordinal / numWindows);
    if (epochs[domain]!.epoch !== epoch)
      epochs[domain] = { epoch, windowAt: permutation(numWindows, `${seed}/${name}/${epoch}`) };
    return { domain, index: epochs[domain]!.windowAt(ordinal % numWindows) };
  };
}

function validationWindows(sequences: readonly Sequences[], numSequences: number): Window[] {
  return sequences.flatMap(({ count }, domain) => {
    const taken = Math.min(numSequences, count);
    return Array.from({ length: taken }, (_, i) => ({ domain, index: Math.floor((i * count) / taken) }));
  });
}

/** Builds a batch of sequences at the given indices of a global batch. */
function fillBatch(
  sequences: readonly Sequences[],
  {
    global,
    places,
    seqLen,
    isPacked,
  }: {
    readonly global: readonly Window[];
    readonly places: readonly number[];
    readonly seqLen: number;
    readonly isPacked: boolean;
  },
): Batch {
  const length = places.length * seqLen;
  const tokenIds = new Int32Array(length);
  const targets = new Int32Array(length);
  const packed = isPacked
    ? { positions: new Int32Array(length), counted: new Uint8Array(length), numCounted: 0 }
    : null;
  places.forEach((place, row) => {
    const { domain, index } = global[place]!;
    sequences[domain]!.fill(index, { tokenIds, targets, packed }, row * seqLen);
  });
  const domains = Int32Array.from(places, (place) => global[place]!.domain);
  const batch = { numSequences: places.length, seqLen, tokenIds, targets, domains };
  if (packed === null) return batch;
  const numCounted = global.reduce((sum, { domain, index }) => sum + sequences[domain]!.countedIn(index), 0);
  return { ...batch, packed: { ...packed, numCounted } };
}

function checkLoader(
  { dataset, weights, globalBatch, worldSize, seqLen }: LoaderOptions,
  sequences: SequencesOf,
): void {
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
  dataset.domains.forEach((domain, id) => {
    for (const split of SPLITS) {
      const { count, packing } = sequences[split][id]!;
      if (count > 0) continue;
      throw new TrainerError(
        'BAD_CONFIG',
        packing === null
          ? noWindow(domain.name, split, domain[split].ids.length, seqLen)
          : noSample(domain.name, split, packing.numLeftOut > 0, seqLen),
      );
    }
  });
}

function noWindow(name: string, split: Split, tokens: number, seqLen: number): string {
  return (
    `model.seqLen: domain ${name} has ${tokens} ${split} tokens, fewer than one window of ${seqLen + 1}; shorten ` +
    `model.seqLen, give it more text (data.maxBytesPerDomain)${split === 'validation' ? ' or raise data.validationShare' : ''}`
  );
}

function noSample(name: string, split: Split, areTooLong: boolean, seqLen: number): string {
  const remedy =
    split === 'train'
      ? 'more samples with different questions'
      : 'more samples with different questions, or held-out files (instruct.validation)';
  return areTooLong
    ? `model.seqLen: domain ${name} has no ${split} sample whose answer fits into ${seqLen} tokens; shorten the answers`
    : `domain ${name} has no ${split} sample; give it ${remedy}`;
}
