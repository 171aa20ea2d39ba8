import { availableParallelism } from 'node:os';
import path from 'node:path';
import { DOMAINS } from '../data/built-in/sources.js';
import { listFiles } from '../data/read/source-files.js';
import { DOMAIN_NAME, textBytes, textSourceSchema } from '../data/read/text-source.js';
import { TrainerError } from '../errors.js';
import { formatCount } from '../format.js';
import { assertPatterns, floorTo2, paceOf, type Recipe, roundTo2, runNameOf, yamlOf } from './recipe.js';

/** Minimum size: less text cannot be split into training and validation text. */
const LEAST_BYTES = 6_000;
const LEAST_STEPS = 100;

interface Size {
  /** Minimum number of bytes of text to which this row applies. */
  readonly from: number;
  readonly vocabSize: number;
  /** Bytes of English text per token with this vocabulary, from which the steps are estimated until the tokens are counted. */
  readonly bytesPerToken: number;
  /**
   * Number of times that each token is seen. Text seen four times is worth nearly as much as new text; sixteen times
   * add little (Muennighoff et al. 2023, arXiv 2305.16264).
   */
  readonly epochs: number;
  readonly validationShare: number;
  readonly model: keyof typeof MODELS;
}

const MODELS = {
  small: {
    dModel: 64,
    numHeads: 2,
    numDenseLayers: 1,
    numSparseLayers: 1,
    dFeedForward: 256,
    seqLen: 32,
    numExperts: 4,
    globalBatch: 8,
    learningRate: 0.003,
    endLearningRate: 0.0003,
  },
  medium: {
    dModel: 128,
    numHeads: 4,
    numDenseLayers: 2,
    numSparseLayers: 2,
    dFeedForward: 512,
    seqLen: 64,
    numExperts: 8,
    globalBatch: 16,
    learningRate: 0.003,
    endLearningRate: 0.0003,
  },
  large: {
    dModel: 256,
    numHeads: 8,
    numDenseLayers: 2,
    numSparseLayers: 2,
    dFeedForward: 1024,
    seqLen: 128,
    numExperts: 8,
    globalBatch: 32,
    learningRate: 0.001,
    endLearningRate: 0.0001,
  },
} as const;

/** Training on small text takes minutes on two cores; from about 20 MB on, one pass over the text takes hours. */
const SIZES: readonly Size[] = [
  { from: 0, vocabSize: 320, bytesPerToken: 2, epochs: 16, validationShare: 0.15, model: 'small' },
  { from: 2e4, vocabSize: 384, bytesPerToken: 2.1, epochs: 16, validationShare: 0.1, model: 'small' },
  { from: 1e5, vocabSize: 512, bytesPerToken: 2.4, epochs: 12, validationShare: 0.1, model: 'medium' },
  { from: 2e5, vocabSize: 1024, bytesPerToken: 2.9, epochs: 8, validationShare: 0.1, model: 'medium' },
  { from: 1e6, vocabSize: 2048, bytesPerToken: 3.3, epochs: 5, validationShare: 0.05, model: 'medium' },
  { from: 4e6, vocabSize: 4096, bytesPerToken: 3.6, epochs: 3, validationShare: 0.02, model: 'large' },
  { from: 2e7, vocabSize: 8192, bytesPerToken: 4, epochs: 1, validationShare: 0.01, model: 'large' },
  { from: 2e8, vocabSize: 8192, bytesPerToken: 4, epochs: 1, validationShare: 0.002, model: 'large' },
];

/**
 * Makes a recipe with one domain whose model, vocabulary and steps depend on the size of the text.
 *
 * @param patterns names or glob patterns, relative to the working folder
 * @param countedTokens tokens to train on, without duplicates; null to estimate them before the text is prepared
 * @throws TrainerError `BAD_INPUT` if a pattern matches nothing, or there is too little text
 */
export function textRecipe(patterns: readonly string[], countedTokens: number | null = null): Recipe {
  assertPatterns('--text', patterns);
  const domain = domainOf(patterns);
  const folder = process.cwd();
  const source = textSourceSchema.parse({ folder, files: patterns });
  const files = listFiles(domain, source);
  const bytes = files.reduce((sum, file) => sum + textBytes(file, source), 0);
  if (bytes < LEAST_BYTES)
    throw new TrainerError(
      'BAD_INPUT',
      `--text ${patterns.join(' ')}: ${formatCount(bytes)} bytes of text are too few; ${formatCount(LEAST_BYTES)} ` +
        'are needed at least',
    );
  const size = SIZES.findLast(({ from }) => bytes >= from)!;
  const { numExperts, globalBatch, learningRate, endLearningRate, ...model } = MODELS[size.model];
  const trainTokens = countedTokens ?? (bytes / size.bytesPerToken) * (1 - size.validationShare);
  const steps = Math.max(LEAST_STEPS, roundTo2((size.epochs * trainTokens) / (globalBatch * model.seqLen)));
  const config = {
    name: runNameOf(domain),
    model: { ...model, vocabSize: size.vocabSize },
    moe: { numExperts, router: 'locmoe-plus', expertGroups: 1, capacityFactor: 1.25 },
    data: {
      domains: [{ [domain]: { folder, files: patterns } }],
      validationShare: size.validationShare,
    },
    train: {
      ...paceOf(steps, globalBatch),
      learningRate,
      endLearningRate,
      // Text that is seen often is memorized at some point.
      ...(size.epochs > 1 && { earlyStop: { patience: 4 } }),
    },
    cluster: { nodes: 1, workersPerNode: floorTo2(Math.min(numExperts, availableParallelism())) },
  };
  return { option: '--text', yaml: yamlOf(config), numFiles: files.length, bytes };
}

/** Returns the name of the folder in which the patterns begin, if it can be the name of a domain; else `text`. */
function domainOf(patterns: readonly string[]): string {
  const [first, ...others] = new Set(
    patterns.map((pattern) => path.basename(path.dirname(path.resolve(`${pattern.split(/[*?[{(!]/)[0]}_`)))),
  );
  return first !== undefined && others.length === 0 && DOMAIN_NAME.test(first) && !DOMAINS.includes(first)
    ? first
    : 'text';
}

/** Estimates the bytes of text per token with a vocabulary of this size. */
export function bytesPerTokenOf(vocabSize: number): number {
  return (SIZES.findLast((size) => vocabSize >= size.vocabSize) ?? SIZES[0]!).bytesPerToken;
}
