import type { RunConfig } from 'locmoe/internal/config/schema';
import { communicationShare, optimizerShare, shareOfLimit } from './figures.js';
import { type Cell, HEADLINE_LAYOUT, type ModelName } from './models.js';
import { PROGRAM_LABELS } from './program-labels.js';
import type { FigureOf, Results } from './results.js';
import type { Program } from './step-run.js';

/** Medians over turns, on two nodes of two workers. Shares are fractions of a step or of the limit. */
export interface ModelFigures {
  readonly tokensPerS: number;
  /** Ours over the peer: 1.2 is 20 % faster. */
  readonly tokensPerSVsPeer: number;
  readonly shareOfLimit: number;
  readonly optimizerShare: number;
  /** Including waiting. */
  readonly communicationShare: number;
  /** Ours over the peer: 0.8 is 20 % less. */
  readonly peakMemoryVsPeer: number;
}

/** `ModelFigures` in float32, those of each precision, and the peer that they are held against. */
interface FiguresOfModel extends ModelFigures {
  readonly float32: ModelFigures;
  /** Null if it was not timed. */
  readonly bfloat16: ModelFigures | null;
  /** The fastest way to run PyTorch. */
  readonly peer: { readonly name: string; readonly precision: 'float32' | 'bfloat16' };
}

/** The file `step.json`; a model that was not timed is null. */
export interface Headline {
  readonly small: FiguresOfModel | null;
  readonly medium: FiguresOfModel | null;
  readonly machine: string;
  readonly command: string;
}

export interface HeadlineOptions {
  readonly results: Results;
  /** Configuration of a cell, router `switch`. */
  readonly configOf: (cell: Cell) => RunConfig;
  readonly sgemmFlopsPerS: number;
  readonly machine: string;
  readonly command: string;
}

export function headlineOf(options: HeadlineOptions): Headline {
  const { machine, command } = options;
  return {
    small: figuresOf('small', options),
    medium: figuresOf('medium', options),
    machine,
    command,
  };
}

function figuresOf(
  model: ModelName,
  { results, configOf, sgemmFlopsPerS }: HeadlineOptions,
): FiguresOfModel | null {
  const cell: Cell = { model, layout: HEADLINE_LAYOUT, sweep: null };
  if (results.turnsOf(cell).length === 0) return null;
  const config = configOf(cell);
  const peer = results.fastestPeer(cell);
  const figuresIn = (program: Program): ModelFigures | null => {
    if (results.spread(cell, program, ({ tokensPerS }) => tokensPerS) === null) return null;
    const own = (of: FigureOf) => rounded(results.spread(cell, program, of)!.median);
    const versusPeer = (of: FigureOf) => rounded(results.ratio(cell, program, peer, of)!.median);
    return {
      tokensPerS: own(({ tokensPerS }) => tokensPerS),
      tokensPerSVsPeer: versusPeer(({ tokensPerS }) => tokensPerS),
      shareOfLimit: own((run) => shareOfLimit(run, config, sgemmFlopsPerS)),
      optimizerShare: own(optimizerShare),
      communicationShare: own(communicationShare),
      peakMemoryVsPeer: versusPeer(({ peakBytes }) => peakBytes),
    };
  };
  const float32 = figuresIn('own')!;
  return {
    ...float32,
    float32,
    bfloat16: figuresIn('own-bfloat16'),
    peer: { name: PROGRAM_LABELS[peer], precision: peer === 'peer-bfloat16' ? 'bfloat16' : 'float32' },
  };
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
