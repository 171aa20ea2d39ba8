import { rmSync } from 'node:fs';
import path from 'node:path';
import { programBeside } from '@locmoe/test-kit';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { formatCount } from 'locmoe/internal/format';
import { runOwn } from '../../packages/bench/src/step/own-run.js';
import { stepMsOf } from '../../packages/bench/src/step/step-run.js';
import { askProgram } from '../kit/ask-program.js';
import type { Parts } from '../kit/parts.js';
import type { Place } from '../kit/study.js';
import type { View } from '../kit/text.js';
import { type LongModel, RECIPE, type Trained } from './long-model.js';

/** Steps of a training, warm-up included. */
const STEPS = 8;
const SHORT_PROMPT = 32;
/**
 * The long prompt leaves room in the window for the new tokens, and for some more before the window would
 * slide.
 */
const NEW_TOKENS = 40;
const SPARE_TOKENS = 8;
const TURNS = 9;
const GENERATE_MS = 600_000;
const FLOAT_BYTES = 4;

export interface GenerateRequest {
  readonly checkpoint: string;
  readonly datasetDir: string;
  /** Tokens of each prompt. */
  readonly prompts: readonly number[];
  readonly newTokens: number;
  readonly turns: number;
}

export interface GenerateAnswer {
  /** Medians over turns. */
  readonly prompts: readonly {
    readonly promptTokens: number;
    readonly prefillMs: number;
    /** Rate of the generated tokens alone, without the prompt. */
    readonly tokensPerS: number;
  }[];
  /** Peak memory of the process. */
  readonly peakBytes: number;
}

/** A training with sequences of one length. */
interface Length {
  readonly seqLen: number;
  readonly stepMs: number;
  /** Peak memory of all processes of the run. */
  readonly peakBytes: number;
}

/** Generation at the end of a long window, and training by the length of sequences. */
export interface Use {
  readonly window: number;
  readonly parameters: number;
  readonly numHeads: number;
  readonly newTokens: number;
  readonly generation: GenerateAnswer;
  readonly tokensPerStep: number;
  readonly lengths: readonly Length[];
}

type UsePlace = Pick<Place<unknown, unknown>, 'workDir' | 'dataDir' | 'signal'>;

export function planUse(model: LongModel, { workDir, dataDir, signal }: UsePlace) {
  const { window, tokensPerStep, config, parameters } = model;
  const prompts = [SHORT_PROMPT, window - NEW_TOKENS - SPARE_TOKENS];
  const asked = { prompts, newTokens: NEW_TOKENS, turns: TURNS };
  const generation = { name: 'generation', kind: 'generation', key: { config, asked } };
  const lengths = [window / 4, window / 2, window].map((seqLen) => {
    const sets = model.setsOf(seqLen, STEPS);
    const name = `length-${seqLen}`;
    return { seqLen, sets, part: { name, kind: 'length', key: loadConfig(RECIPE, { sets }) } };
  });
  return {
    generation,
    parts: [generation, ...lengths.map(({ part }) => part)],
    async make(parts: Parts, trained: Trained): Promise<Use> {
      const made: Length[] = [];
      const answer = await parts.do(generation, () =>
        askProgram<GenerateAnswer>(
          programBeside(import.meta.url, 'use.program'),
          { ...trained, ...asked } satisfies GenerateRequest,
          { signal, deadlineMs: GENERATE_MS },
        ),
      );
      for (const { seqLen, sets, part } of lengths)
        made.push(
          await parts.do<Length>(part, async () => {
            const folder = path.join(workDir, 'runs', part.name);
            const run = await runOwn({ config: RECIPE, sets, folder, dataDir });
            rmSync(folder, { recursive: true });
            return { seqLen, stepMs: stepMsOf(run), peakBytes: run.peakBytes };
          }),
        );
      return {
        window,
        parameters,
        numHeads: config.model.numHeads,
        newTokens: NEW_TOKENS,
        generation: answer,
        tokensPerStep,
        lengths: made,
      };
    },
  };
}

export function useView({ parameters, numHeads, generation, lengths, ...use }: Use): View {
  const megabytes = (bytes: number) => formatCount(bytes / 1e6);
  return {
    ...use,
    tokensPerStep: formatCount(use.tokensPerStep),
    parameters: (parameters / 1e6).toFixed(1),
    prompts: generation.prompts.map(({ promptTokens, prefillMs, tokensPerS }) => ({
      promptTokens,
      prefillMs: prefillMs.toFixed(0),
      prefillTokensPerS: formatCount((1000 * promptTokens) / prefillMs),
      tokensPerS: tokensPerS.toFixed(0),
    })),
    peakMB: megabytes(generation.peakBytes),
    lengths: lengths.map(({ seqLen, stepMs, peakBytes }) => ({
      seqLen,
      stepMs: stepMs.toFixed(0),
      peakMB: megabytes(peakBytes),
      scoresMB: megabytes(FLOAT_BYTES * use.tokensPerStep * numHeads * seqLen),
    })),
  };
}
