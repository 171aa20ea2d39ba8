import { median, type Spread, spreadOf } from '@locmoe/bench/internal/statistics';
import {
  fastestPeer,
  isPeer,
  LEAST_STEPS,
  type PartMs,
  PROGRAM_LABELS,
  PROGRAMS,
  type Program,
  type StepRun,
  stepMsOf,
} from '@locmoe/bench/internal/step/step-run';
import type { TorchPeer } from '@locmoe/bench/internal/step/torch-peer';
import type { TurnResult } from '@locmoe/bench/internal/step/turns';
import { lengthSettings } from '@locmoe/bench/internal/step/verify';
import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { parametersOfExpert } from 'locmoe/internal/model/parameter-counts';
import {
  type Cell,
  type CellSizes,
  cellId,
  isHeadline,
  type ModelName,
  settingsOf,
  sizesOf,
} from './cells.js';
import type { Recipe } from './turns.js';

/** Medians over turns, on two nodes of two workers. Shares are fractions of a step or of the limit. */
interface ModelFigures {
  readonly tokensPerS: number;
  /** Throughput of locmoe relative to the peer: 1.2 is 20 % faster. */
  readonly tokensPerSVsPeer: number;
  readonly shareOfLimit: number;
  readonly optimizerShare: number;
  /** Share of a step in collective calls, waiting included. */
  readonly communicationShare: number;
  /** Peak memory of locmoe relative to the peer: 0.8 is 20 % less. */
  readonly peakMemoryVsPeer: number;
}

/** `ModelFigures` in float32, those of each precision, and the peer that they are compared with. */
interface FiguresOfModel extends ModelFigures {
  readonly float32: ModelFigures;
  readonly bfloat16: ModelFigures | null;
  /** The fastest way to run PyTorch. */
  readonly peer: { readonly name: string; readonly precision: 'float32' | 'bfloat16' };
}

/**
 * A program in a cell, over its turns. The figures in docs/results were taken from an older page and its
 * pictures, so they lack what these do not show.
 */
export interface ProgramFigures {
  readonly tokensPerS: Spread;
  readonly stepMs: Spread;
  readonly peakBytes: Spread;
  /** Throughput relative to the peer's; null for a peer. */
  readonly tokensPerSVsPeer: Spread | null;
  readonly peakVsPeer: Spread | null;
  readonly keptPerToken: Spread;
  /** Share of the limit; null for locmoe-plus, which sends a token to any number of experts. */
  readonly shareOfLimit: Spread | null;
  readonly partsMs: Readonly<Record<keyof PartMs, Spread>>;
  /** Time of garbage collection; null for a peer. */
  readonly gcMs: Spread | null;
  readonly optimizerShare: Spread;
  readonly communicationShare: Spread;
}

export interface CellFigures {
  readonly cell: Cell;
  readonly sizes: CellSizes;
  readonly turns: number;
  readonly steps: number;
  readonly greatestDifference: number;
  readonly greatestDifferenceBfloat16: number;
  readonly programs: Readonly<Partial<Record<Program, ProgramFigures>>>;
}

export interface Figures {
  readonly small: FiguresOfModel | null;
  readonly medium: FiguresOfModel | null;
  readonly recipe: string;
  readonly peer: TorchPeer;
  readonly sgemmFlopsPerS: number;
  readonly cells: readonly CellFigures[];
}

/** Returns the programs that ran in a cell, in report order. */
export function programsIn({ programs }: CellFigures): [Program, ProgramFigures][] {
  return PROGRAMS.flatMap((program): [Program, ProgramFigures][] => {
    const figures = programs[program];
    return figures === undefined ? [] : [[program, figures]];
  });
}

export const PARTS = [
  'forward',
  'backward',
  'exchange',
  'allReduce',
  'optimizer',
  'waiting',
  'other',
] as const;

export function labelOfPart(part: keyof PartMs): string {
  return part === 'allReduce' ? 'all-reduce' : part;
}

export interface Measured {
  readonly recipe: Recipe;
  readonly peer: TorchPeer;
  readonly sgemmFlopsPerS: number;
  readonly cells: readonly Cell[];
  readonly turns: readonly TurnResult[];
}

export function figuresOf({ recipe, peer, sgemmFlopsPerS, cells, turns }: Measured): Figures {
  const figures = cells.map((cell) => {
    const own = turns.filter(({ name }) => name === cellId(cell));
    return cellFigures(cell, own, recipe, sgemmFlopsPerS);
  });
  const headline = (model: ModelName) => {
    const found = figures.find(({ cell }) => cell.model === model && isHeadline(cell));
    return found === undefined ? null : modelFigures(found);
  };
  return {
    small: headline('small'),
    medium: headline('medium'),
    recipe: recipe.config,
    peer,
    sgemmFlopsPerS,
    cells: figures,
  };
}

function cellFigures(
  cell: Cell,
  turns: readonly TurnResult[],
  { config, set }: Recipe,
  sgemmFlopsPerS: number,
): CellFigures {
  const sets = [...settingsOf(cell, config, set), ...lengthSettings(LEAST_STEPS)];
  const resolved = loadConfig(config, { sets });
  const peer = fastestPeer(turns)!;
  // The peer keeps the same number of tokens as locmoe.
  const kept = median(turns.flatMap(({ runs }) => runs.own?.keptPerToken ?? []));
  const figuresFor = (program: Program): ProgramFigures => {
    const runs = turns.flatMap((turn) => turn.runs[program] ?? []);
    const spread = (of: (run: StepRun) => number) => spreadOf(runs.map(of));
    /** Returns the ratios of the turns in which both programs ran. */
    const versus = (of: (run: StepRun) => number) => {
      const ratios = turns.flatMap(({ runs: { [program]: own, [peer]: other } }) =>
        own && other ? [of(own) / of(other)] : [],
      );
      return isPeer(program) ? null : spreadOf(ratios);
    };
    const ownKept = turns.flatMap(({ runs: { own } }) => own?.keptPerToken ?? 1);
    return {
      tokensPerS: spread(({ tokensPerS }) => tokensPerS),
      stepMs: spread(stepMsOf),
      peakBytes: spread(({ peakBytes }) => peakBytes),
      tokensPerSVsPeer: versus(({ tokensPerS }) => tokensPerS),
      peakVsPeer: versus(({ peakBytes }) => peakBytes),
      keptPerToken: isPeer(program) ? spreadOf(ownKept) : spread(({ keptPerToken }) => keptPerToken ?? 1),
      shareOfLimit:
        program === 'locmoe-plus' ? null : spread((run) => shareOfLimit(run, resolved, kept, sgemmFlopsPerS)),
      partsMs: Object.fromEntries(
        PARTS.map((part) => [part, spread(({ partsMs }) => partsMs[part])]),
      ) as ProgramFigures['partsMs'],
      gcMs: isPeer(program) ? null : spread(({ gcMs }) => gcMs ?? 0),
      optimizerShare: spread((run) => run.partsMs.optimizer / stepMsOf(run)),
      communicationShare: spread(communicationShare),
    };
  };
  const ran = PROGRAMS.filter((program) => turns.some(({ runs }) => runs[program] !== undefined));
  return {
    cell,
    sizes: sizesOf(cell, config, set),
    turns: turns.length,
    steps: turns.reduce((sum, { steps }) => sum + steps, 0),
    greatestDifference: Math.max(...turns.map((turn) => turn.greatestDifference)),
    greatestDifferenceBfloat16: Math.max(...turns.map((turn) => turn.greatestDifferenceBfloat16)),
    programs: Object.fromEntries(ran.map((program) => [program, figuresFor(program)])),
  };
}

function modelFigures({ programs }: CellFigures): FiguresOfModel {
  const figuresIn = (program: Program): ModelFigures | null => {
    const found = programs[program];
    return found === undefined
      ? null
      : {
          tokensPerS: rounded(found.tokensPerS),
          tokensPerSVsPeer: rounded(found.tokensPerSVsPeer!),
          shareOfLimit: rounded(found.shareOfLimit!),
          optimizerShare: rounded(found.optimizerShare),
          communicationShare: rounded(found.communicationShare),
          peakMemoryVsPeer: rounded(found.peakVsPeer!),
        };
  };
  const float32 = figuresIn('own')!;
  const speed = (program: Program) => programs[program]?.tokensPerS.median ?? 0;
  const peer = PROGRAMS.filter(isPeer).reduce((best, each) => (speed(each) > speed(best) ? each : best));
  return {
    ...float32,
    float32,
    bfloat16: figuresIn('own-bfloat16'),
    peer: { name: PROGRAM_LABELS[peer], precision: peer === 'peer-bfloat16' ? 'bfloat16' : 'float32' },
  };
}

function rounded({ median: value }: Spread): number {
  return Number(value.toPrecision(4));
}

/** Returns the share of a step in collective calls: moving bytes and waiting for ranks or cores. */
export function communicationShare({ partsMs, stepMs }: StepRun): number {
  return (partsMs.exchange + partsMs.allReduce + partsMs.waiting) / median(stepMs);
}

/** FLOP of training per parameter and token: the forward product and its two gradients. */
const FLOP_PER_PARAMETER = 6;

/**
 * Returns the throughput relative to the limit set by the matrix products alone. Attention scores and all
 * other operations count as overhead.
 *
 * @param keptPerToken mean experts per token in a sparse layer, after drops
 * @param sgemmFlopsPerS rate of float32 matrix products on all cores
 */
export function shareOfLimit(
  { tokensPerS }: Pick<StepRun, 'tokensPerS'>,
  config: RunConfig,
  keptPerToken: number,
  sgemmFlopsPerS: number,
): number {
  return (tokensPerS * FLOP_PER_PARAMETER * activeParameters(config, keptPerToken)) / sgemmFlopsPerS;
}

/**
 * Counts the parameters in matrix products of one token: the matrices of all layers, the tied softmax, the
 * gate, and the experts that kept the token. Embedding lookups, gains and biases are not products.
 *
 * @param config configuration with router `switch` and no query layer
 */
export function activeParameters(config: RunConfig, keptPerToken: number): number {
  const { model, moe } = config;
  const { dModel, dFeedForward, numDenseLayers, numSparseLayers, vocabSize } = model;
  const attention = 4 * dModel ** 2;
  const feedForward = 2 * dModel * dFeedForward;
  const experts = (keptPerToken + moe.sharedExperts) * parametersOfExpert(config);
  return (
    vocabSize * dModel +
    numDenseLayers * (attention + feedForward) +
    numSparseLayers * (attention + dModel * moe.numExperts + experts)
  );
}
