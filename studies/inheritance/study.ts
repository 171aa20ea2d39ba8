import { meanLoss, type RunFolder, readRecords, stepFolder, tokensPerStep } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { TrainerError } from 'locmoe/internal/errors';
import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import { count, SET, text } from '../kit/options.js';
import { Parts, type TrainingPart } from '../kit/parts.js';
import { study } from '../kit/study.js';
import { type Curve, type Figures, reportOf, type SeedResult } from './report.js';

/**
 * The router of PanGu-Sigma; a rate at which a model can be looked at after any number of steps; text enough for few
 * repetitions; two ranks, for two cores.
 */
const SETTINGS = [
  ...['moe.router=hash', 'train.schedule=constant', 'data.maxBytesPerDomain=2000000'],
  // Room for all, and weights as published.
  ...['moe.capacityFactor=1.25', 'moe.choiceWeights=softmax', 'moe.tokenPreference=0'],
  ...['cluster.nodes=1', 'cluster.workersPerNode=2'],
];
/** Points of a curve in the steps of the sparse model. */
const POINTS = 12;
/** A seed of its own for what follows on the dense model: another order of the text. */
const SECOND_SEED = 1000;

interface Trained {
  readonly curve: Curve;
  /** Folder of its checkpoints, from which others inherit. */
  readonly checkpoint: string;
}

export default study({
  name: 'inheritance',
  description:
    'a sparse model that grows from a dense one, against the same from random weights: loss over tokens, with and without those of the dense training',
  quick: 'one seed, and no other routers before their first step',
  options: {
    config: text('<file|recipe>', 'the sparse model', 'tiny'),
    set: SET,
    seeds: count('how often everything is trained', 3, { quick: 1 }),
    denseSteps: count('steps of the dense model before it is inherited from', 480),
    steps: count('steps of the sparse model after that', 480),
  },

  /** @throws TrainerError `BAD_CONFIG` if steps do not suit or the recipe has no sparse layers; as `runTraining` */
  async measure({ options, quick, ...place }): Promise<Figures> {
    const { denseSteps, steps, seeds } = options;
    const sets = [...SETTINGS, ...options.set];
    const config = loadConfig(options.config, { sets });
    const every = Math.max(1, Math.floor(steps / POINTS));
    if (denseSteps % every !== 0 || steps % every !== 0)
      throw new TrainerError(
        'BAD_CONFIG',
        `--dense-steps ${denseSteps} and --steps ${steps}: give multiples of ${every}, the steps between two validations`,
      );
    const { numDenseLayers, numSparseLayers } = config.model;
    if (numSparseLayers === 0)
      throw new TrainerError('BAD_CONFIG', `--config ${options.config}: the model has no sparse layers`);

    /** @param from the key of what it inherits from */
    const part = (
      name: string,
      own: readonly string[],
      usedBy: readonly TrainingPart[] = [],
      from: unknown = null,
    ) => {
      const all = [...sets, 'train.validationSequences=64', 'train.keepCheckpoints=9', ...own];
      const key = { config: loadConfig(options.config, { sets: all }), from };
      return { name, kind: 'trained', key, config: options.config, sets: all, usedBy };
    };
    const seedParts = Array.from({ length: seeds }, (_, i) => {
      const seed = i + 1;
      const validated = `train.validateEvery=${every}`;
      const whole = [validated, `seed=${seed}`, `train.steps=${denseSteps + steps}`];
      const denseSets = [
        ...[`model.numDenseLayers=${numDenseLayers + numSparseLayers}`, 'model.numSparseLayers=0'],
        ...[...whole, `train.checkpointEvery=${denseSteps}`],
      ];
      const second = `seed=${SECOND_SEED + seed}`;
      const inherited = part(`inherited-${seed}`, [validated, second, `train.steps=${steps}`], [], denseSets);
      const starts = (seed === 1 && !quick ? ROUTER_NAMES : []).map((router) => {
        const own = [validated, `moe.router=${router}`, second, 'train.steps=1'];
        return { router, part: { ...part(`start-${router}`, own, [], denseSets), kind: 'started' } };
      });
      const heirs = [inherited, ...starts.map((start) => start.part)];
      const dense = part(`dense-${seed}`, denseSets, heirs);
      return { seed, dense, inherited, scratch: part(`scratch-${seed}`, whole), starts };
    });

    const all = seedParts.flatMap(({ dense, inherited, scratch, starts }) => [
      ...[dense, inherited, scratch],
      ...starts.map((start) => start.part),
    ]);
    const parts = new Parts(place, all);
    const results: SeedResult[] = [];
    const starts: { router: string; loss: number }[] = [];
    for (const each of seedParts) {
      const dense = await parts.train(each.dense, trained);
      const inherit = ['--inherit', stepFolder(dense.checkpoint, denseSteps)];
      const inherited = await parts.train(each.inherited, trained, inherit);
      const scratch = await parts.train(each.scratch, trained);
      results.push({
        seed: each.seed,
        dense: dense.curve,
        inherited: inherited.curve,
        scratch: scratch.curve,
      });
      for (const start of each.starts) {
        const { curve } = await parts.train(start.part, trained, inherit);
        starts.push({ router: start.router, loss: curve[0]!.loss });
      }
    }
    const { router, numExperts, expertGroups, deviceGroups, choicesPerDeviceGroup } = config.moe;
    const moe = { router, numExperts, expertGroups, deviceGroups, choicesPerDeviceGroup };
    return {
      recipe: config.name,
      model: { numDenseLayers, numSparseLayers, ...moe },
      results,
      starts,
      denseSteps,
      steps,
      every,
      tokensPerStep: tokensPerStep(config),
    };
  },

  report: reportOf,
});

function trained({ metrics, checkpoints }: RunFolder): Trained {
  const curve = readRecords(metrics).flatMap((record) =>
    record.type === 'validation' ? [{ step: record.step, loss: meanLoss(record) }] : [],
  );
  const { step, loss } = curve.at(-1)!;
  console.log(`validation loss ${loss.toFixed(4)} after ${step} steps`);
  return { curve, checkpoint: checkpoints };
}
