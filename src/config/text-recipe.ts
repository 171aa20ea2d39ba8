import { existsSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import path from 'node:path';
import { DOMAINS } from '../data/built-in/sources.js';
import { listFiles } from '../data/read/source-files.js';
import { DOMAIN_NAME, textBytes, textSourceSchema } from '../data/read/text-source.js';
import { TrainerError } from '../errors.js';
import { formatCount } from '../format.js';
import { groupBy } from '../group-by.js';
import { assertPatterns, floorTo2, paceOf, type Recipe, roundTo2, runNameOf, yamlOf } from './recipe.js';

/** Minimum size: less text cannot be split into training and validation text. */
const LEAST_BYTES = 6_000;
const LEAST_STEPS = 100;
/** A character that begins a wildcard of a pattern. */
const WILDCARD = /[*?[{(!]/;

interface Size {
  /** Minimum number of bytes of text to which this row applies. */
  readonly from: number;
  readonly vocabSize: number;
  /** Bytes of English text per token with this vocabulary, from which the steps are estimated until the tokens are counted. */
  readonly bytesPerToken: number;
  /**
   * Number of times that each token is seen. Text seen four times is worth nearly as much as new text (Muennighoff et al. 2023,
   * arXiv 2305.16264); with more, models of this size learn it by heart (docs/training.md).
   */
  readonly epochs: number;
  readonly validationShare: number;
  readonly model: keyof typeof MODELS;
}

/** Experts are half as wide as dense layers, and a token has two; so both compute as much. */
const MODELS = {
  small: {
    dModel: 64,
    numHeads: 2,
    numDenseLayers: 1,
    numSparseLayers: 1,
    dFeedForward: 192,
    seqLen: 32,
    numExperts: 8,
    globalBatch: 8,
    learningRate: 0.003,
    endLearningRate: 0.0003,
  },
  medium: {
    dModel: 128,
    numHeads: 4,
    numDenseLayers: 2,
    numSparseLayers: 2,
    dFeedForward: 320,
    seqLen: 64,
    numExperts: 16,
    globalBatch: 16,
    learningRate: 0.003,
    endLearningRate: 0.0003,
  },
  large: {
    dModel: 256,
    numHeads: 8,
    numDenseLayers: 2,
    numSparseLayers: 2,
    dFeedForward: 704,
    seqLen: 128,
    numExperts: 16,
    globalBatch: 32,
    learningRate: 0.001,
    endLearningRate: 0.0001,
  },
} as const;

/** Training on small text takes minutes on two cores; from about 20 MB on, one pass over the text takes hours. */
const SIZES: readonly Size[] = [
  { from: 0, vocabSize: 320, bytesPerToken: 2, epochs: 4, validationShare: 0.15, model: 'small' },
  { from: 2e4, vocabSize: 384, bytesPerToken: 2.1, epochs: 4, validationShare: 0.1, model: 'small' },
  { from: 1e5, vocabSize: 512, bytesPerToken: 2.4, epochs: 4, validationShare: 0.1, model: 'medium' },
  { from: 2e5, vocabSize: 1024, bytesPerToken: 2.9, epochs: 4, validationShare: 0.1, model: 'medium' },
  { from: 1e6, vocabSize: 2048, bytesPerToken: 3.3, epochs: 4, validationShare: 0.05, model: 'medium' },
  { from: 4e6, vocabSize: 4096, bytesPerToken: 3.6, epochs: 3, validationShare: 0.02, model: 'large' },
  { from: 2e7, vocabSize: 8192, bytesPerToken: 4, epochs: 1, validationShare: 0.01, model: 'large' },
  { from: 2e8, vocabSize: 8192, bytesPerToken: 4, epochs: 1, validationShare: 0.002, model: 'large' },
];

/** Text of one domain. */
interface DomainText {
  readonly name: string;
  readonly files: readonly string[];
  readonly numFiles: number;
  readonly bytes: number;
}

/**
 * Makes a recipe whose model, vocabulary and steps depend on the size of the text. Each domain has a group of experts
 * of its own.
 *
 * @param patterns names or glob patterns, relative to the working folder, each alone or as `NAME=PATTERN` with the name
 *   of its domain
 * @param countedTokens tokens to train on, without duplicates; null to estimate them before the text is prepared
 * @throws TrainerError `BAD_INPUT` if a pattern matches nothing, or there is too little text
 */
export function textRecipe(patterns: readonly string[], countedTokens: number | null = null): Recipe {
  const folder = process.cwd();
  const domains = domainsOf(patterns, folder);
  const bytes = sumOf(domains.map((domain) => domain.bytes));
  const size = sizeOf(bytes);
  const { numExperts: least, globalBatch, learningRate, endLearningRate, ...model } = MODELS[size.model];
  // Powers of two, which workers divide evenly.
  const expertsOfDomain = Math.max(4, 2 ** Math.ceil(Math.log2(least / domains.length)));
  const numExperts = domains.length * expertsOfDomain;
  const trainTokens = countedTokens ?? (bytes / size.bytesPerToken) * (1 - size.validationShare);
  // Bytes that are read of each domain: it is seen as often as it would be alone.
  const seen = domains.map((domain) => sizeOf(domain.bytes).epochs * domain.bytes);
  const epochs = sumOf(seen) / bytes;
  const steps = Math.max(LEAST_STEPS, roundTo2((epochs * trainTokens) / (globalBatch * model.seqLen)));
  const config = {
    name: runNameOf(domains.map(({ name }) => name).join('-')).slice(0, 64),
    model: { family: 'llama', ...model, vocabSize: size.vocabSize },
    moe: {
      numExperts,
      expertGroups: domains.length,
      dFeedForward: model.dFeedForward / 2,
      // In trainings this short, tables of the id and of the one before it end lowest (docs/training.md).
      router: 'hash',
      expertsPerToken: 2,
      lookBack: 1,
      // Experts of a domain that is seen more often have more tokens.
      capacityFactor: null,
    },
    data: {
      domains: domains.map(({ name, files }) => ({ [name]: { folder, files } })),
      ...(domains.length > 1 && { weights: seen.map((each) => roundTo2(each / Math.min(...seen))) }),
      validationShare: size.validationShare,
    },
    train: {
      ...paceOf(steps, globalBatch),
      learningRate,
      endLearningRate,
      // Text that is seen often is memorized at some point.
      ...(epochs > 1 && { earlyStop: { patience: 4 } }),
    },
    cluster: {
      nodes: 1,
      workersPerNode: floorTo2(Math.min(numExperts & -numExperts, globalBatch, availableParallelism())),
    },
  };
  return {
    option: '--text',
    yaml: yamlOf(config),
    numFiles: sumOf(domains.map((domain) => domain.numFiles)),
    bytes,
  };
}

/** @throws TrainerError as `textRecipe` */
function domainsOf(patterns: readonly string[], folder: string): DomainText[] {
  const parts = patterns.map(partsOf);
  const unnamed = parts.flatMap(({ name, pattern }) => (name === undefined ? [pattern] : []));
  return Array.from(
    groupBy(parts, ({ name }) => name ?? folderOf(unnamed)),
    ([name, group]) => {
      const option = `--text ${group.map(({ written }) => written).join(' ')}`;
      const files = group.map(({ pattern }) => pattern.replace(/^~(?=\/)/, homedir()));
      assertPatterns(option.trimEnd(), files);
      const source = textSourceSchema.parse({ folder, files });
      const found = listFiles(name, source);
      const bytes = sumOf(found.map((file) => textBytes(file, source)));
      if (bytes < LEAST_BYTES)
        throw new TrainerError(
          'BAD_INPUT',
          `${option}: ${formatCount(bytes)} bytes of text are too few; ${formatCount(LEAST_BYTES)} are needed at least`,
        );
      return { name, files, numFiles: found.length, bytes };
    },
  );
}

/** Splits `NAME=PATTERN`; a file or folder whose own name has the sign is a pattern alone. */
function partsOf(written: string): {
  readonly written: string;
  readonly name?: string;
  readonly pattern: string;
} {
  const at = written.indexOf('=');
  const name = written.slice(0, Math.max(at, 0));
  const exists = [written, written.split(WILDCARD)[0]!].some((place) => existsSync(place));
  return DOMAIN_NAME.test(name) && !exists
    ? { written, name, pattern: written.slice(at + 1) }
    : { written, pattern: written };
}

/** Returns the name of the folder in which the patterns begin, if it can be the name of a domain; else `text`. */
function folderOf(patterns: readonly string[]): string {
  const [first, ...others] = new Set(
    patterns.map((pattern) => path.basename(path.dirname(path.resolve(`${pattern.split(WILDCARD)[0]}_`)))),
  );
  return first !== undefined && others.length === 0 && DOMAIN_NAME.test(first) && !DOMAINS.includes(first)
    ? first
    : 'text';
}

/** Returns the row for a number of bytes. */
function sizeOf(bytes: number): Size {
  return SIZES.findLast(({ from }) => bytes >= from)!;
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Estimates the bytes of text per token with a vocabulary of this size. */
export function bytesPerTokenOf(vocabSize: number): number {
  return (SIZES.findLast((size) => vocabSize >= size.vocabSize) ?? SIZES[0]!).bytesPerToken;
}
