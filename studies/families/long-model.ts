import { loadConfig } from 'locmoe/internal/config/resolve';
import { parameterCounts } from 'locmoe/internal/model/parameter-counts';
import { lengthSettings } from '../../packages/bench/src/step/verify.js';
import type { Part, Parts, TrainingPart } from '../kit/parts.js';

export const RECIPE = 'mixtral-tiny';
/**
 * Sizes at which the rows of every matrix are whole blocks of 256 numbers, the longest blocks of GGUF's
 * types.
 */
const SHAPE = ['model.dModel=256', 'model.numHeads=8', 'model.dFeedForward=768'];
const ALONE = ['cluster.nodes=1', 'cluster.workersPerNode=1'];
const WINDOW = { all: 2048, quick: 256 } as const;
const WINDOWS_A_STEP = 4;

/** A model of Mixtral's form with a long window. */
export function longModel(quick: boolean) {
  const window = WINDOW[quick ? 'quick' : 'all'];
  const tokensPerStep = WINDOWS_A_STEP * window;
  const setsOf = (seqLen: number, steps: number) => [
    ...[...SHAPE, ...ALONE, ...lengthSettings(steps)],
    ...[`model.seqLen=${seqLen}`, `train.globalBatch=${tokensPerStep / seqLen}`],
  ];
  // The values of the weights do not matter, so the model is trained for one step.
  const sets = setsOf(window, 1);
  const config = loadConfig(RECIPE, { sets });
  return { window, tokensPerStep, setsOf, sets, config, parameters: parameterCounts(config).model };
}

export type LongModel = ReturnType<typeof longModel>;

/** Files of the long model once it is trained. */
export interface Trained {
  readonly checkpoint: string;
  readonly datasetDir: string;
}

/** @param usedBy the parts that read the model's checkpoint */
export function planLongModel({ sets, config }: LongModel, usedBy: readonly Part[]) {
  const part: TrainingPart = { name: 'model', kind: 'model', key: config, config: RECIPE, sets, usedBy };
  const make = (parts: Parts): Promise<Trained> =>
    parts.train(part, (run) => ({
      checkpoint: run.directory,
      datasetDir: run.readRecord()!.datasetDir,
    }));
  return { part, make };
}
