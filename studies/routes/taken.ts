import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import type { RunConfig } from 'locmoe/internal/config/schema';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { TrainerError } from 'locmoe/internal/errors';
import type { LanguageModel } from 'locmoe/internal/model/language-model';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { expertsOfDomain } from 'locmoe/internal/routing/index';
import type { RoutingDecision } from 'locmoe/internal/routing/router';

// Shapes: W windows of S tokens each, T = W S, E experts.

/** The text that windows are cut from. */
export interface TrainingText {
  readonly domains: readonly {
    readonly train: { readonly ids: Pick<Dataset['domains'][number]['train']['ids'], 'slice' | 'length'> };
  }[];
}

/** The text that every engine reads. */
export interface Windows {
  readonly seqLen: number;
  /** Row-major [W, S]. */
  readonly tokenIdsT: Int32Array;
  /** Length W. */
  readonly domains: Int32Array;
}

/** The experts that take each token, by sparse layer from the bottom: bit e of element t is expert e's, length T. */
export type Taken = readonly Int32Array[];

/** Number of windows that pass through the model at once. */
const AT_ONCE = 32;
/** Bits that an element of `Taken` has for experts. */
const MOST_EXPERTS = 31;

/**
 * Windows of the training text, an equal number for each domain.
 *
 * @param numTokens minimum number of tokens
 * @throws TrainerError `BAD_CONFIG` if there are more experts than bits in an element
 */
export function windowsOf({ model, moe }: RunConfig, dataset: TrainingText, numTokens: number): Windows {
  const { seqLen } = model;
  if (moe.numExperts > MOST_EXPERTS)
    throw new TrainerError(
      'BAD_CONFIG',
      `moe.numExperts: ${moe.numExperts}, and at most ${MOST_EXPERTS} are compared`,
    );
  const perDomain = Math.ceil(numTokens / (seqLen * dataset.domains.length));
  const counts = dataset.domains.map(({ train }) =>
    Math.min(perDomain, Math.floor(train.ids.length / seqLen)),
  );
  // An even number can be divided among two ranks.
  if (counts.reduce((sum, count) => sum + count, 0) % 2 === 1)
    counts[counts.findIndex((count) => count > 0)]!--;
  const ids = dataset.domains.flatMap(({ train }, id) => [...train.ids.slice(0, counts[id]! * seqLen)]);
  const domains = counts.flatMap((count, domain) => Array<number>(count).fill(domain));
  return { seqLen, tokenIdsT: Int32Array.from(ids), domains: Int32Array.from(domains) };
}

/** Returns the windows from `begin` to `end`. */
export function partOf({ seqLen, tokenIdsT, domains }: Windows, begin: number, end: number): Windows {
  const part = {
    tokenIdsT: tokenIdsT.slice(begin * seqLen, end * seqLen),
    domains: domains.slice(begin, end),
  };
  return { seqLen, ...part };
}

/** Yields a few windows at a time, with the index of their first token. */
export function* inParts(
  windows: Windows,
  atOnce = AT_ONCE,
): Generator<readonly [part: Windows, first: number]> {
  for (let begin = 0; begin < windows.domains.length; begin += atOnce)
    yield [partOf(windows, begin, Math.min(begin + atOnce, windows.domains.length)), begin * windows.seqLen];
}

export function nothingTaken({ model }: RunConfig, numTokens: number): Int32Array[] {
  return Array.from({ length: model.numSparseLayers }, () => new Int32Array(numTokens));
}

/**
 * Routes windows as a validation does. A collective call.
 *
 * @param onDecision called for each layer of each part, with the index of its first token
 */
export function routeWindows(
  model: LanguageModel,
  windows: Windows,
  onDecision: (layer: number, first: number, decision: RoutingDecision, part: Windows) => void,
): void {
  const { numDenseLayers } = model.config.model;
  for (const [part, first] of inParts(windows)) {
    const { seqLen, tokenIdsT: tokenIds, domains } = part;
    tf.tidy(() => {
      model.hidden(
        { numSequences: domains.length, seqLen, tokenIds, domains },
        {
          training: false,
          wantsScores: true,
          inspect: (layer, _, decision) => onDecision(layer - numDenseLayers, first, decision, part),
        },
      );
    });
  }
}

/** Adds the kept choices of a decision. */
export function takeKept(taken: Int32Array, first: number, { expertsTK, numChoices }: RoutingDecision): void {
  expertsTK.forEach((expert, at) => {
    if (expert >= 0) taken[first + Math.floor(at / numChoices)]! |= 1 << expert;
  });
}

/**
 * Adds experts whose weight is not 0.
 *
 * @param weightsTE row-major [T, E]
 */
export function takeWeighted(
  taken: Int32Array,
  first: number,
  weightsTE: ArrayLike<number>,
  numExperts: number,
): void {
  for (let at = 0; at < weightsTE.length; at++)
    if (weightsTE[at] !== 0) taken[first + Math.floor(at / numExperts)]! |= 1 << (at % numExperts);
}

/** The choices of the trainer's own model, and how close each token is to a tie. */
export interface Reference {
  readonly taken: Taken;
  /**
   * By layer and token, the smallest difference that would change the choice: between two consecutive scores
   * of the token's open experts, or between a score and the expert's threshold.
   */
  readonly gaps: readonly Float64Array[];
}

/** Computes the choices of `locmoe eval`. */
export function referenceOf(model: LanguageModel, windows: Windows): Reference {
  const { config } = model;
  const open = expertsOfDomain(config.data.domains.length, config.moe);
  const numTokens = windows.tokenIdsT.length;
  const taken = nothingTaken(config, numTokens);
  const gaps = taken.map(() => new Float64Array(numTokens).fill(Infinity));
  routeWindows(model, windows, (layer, first, decision, { domains, seqLen }) => {
    takeKept(taken[layer]!, first, decision);
    const { scores } = decision;
    if (scores === undefined) return;
    const name = `layers.${config.model.numDenseLayers + layer}.router.threshold`;
    const thresholdE = model.routerState.get(name);
    for (let t = 0; t < domains.length * seqLen; t++) {
      const row = t * config.moe.numExperts;
      const group = open[domains[Math.floor(t / seqLen)]!]!;
      const ranked = Array.from(
        group,
        (e) => scores.gateTE[row + e]! + (scores.biasE?.[e] ?? 0) + (scores.preferenceTE?.[row + e] ?? 0),
      );
      const fromThreshold = ranked.map((score, i) => Math.abs(score - (thresholdE?.[group[i]!] ?? Infinity)));
      ranked.sort((a, b) => b - a);
      const between = ranked.slice(1).map((score, i) => ranked[i]! - score);
      gaps[layer]![first + t] = Math.min(...between, ...fromThreshold);
    }
  });
  return { taken, gaps };
}

/** Input of an engine. */
export interface EngineInput {
  readonly checkpoint: Checkpoint;
  readonly windows: Windows;
  /** Folder for the engine's own files. */
  readonly folder: string;
  readonly signal: AbortSignal;
}
