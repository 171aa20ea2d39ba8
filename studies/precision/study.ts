import { meanLoss, type RunFolder, readRecords } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { TrainerError } from 'locmoe/internal/errors';
import { whyNoBfloat16 } from 'locmoe/internal/ops/kernels/choose-kernels';
import { count, SET, text } from '../kit/options.js';
import { Parts } from '../kit/parts.js';
import { study } from '../kit/study.js';
import { signedPercent } from '../kit/text.js';

/** Greatest difference of the losses, as a share. */
const TOLERANCE = 0.005;

interface Figures {
  readonly recipe: string;
  readonly steps: number;
  /** Validation losses in nats per token, and their difference as a share. */
  readonly runs: readonly {
    readonly seed: number;
    readonly float32: number;
    readonly bfloat16: number;
    readonly difference: number;
  }[];
  readonly worst: number;
}

export default study({
  name: 'precision',
  description: 'the same trainings in float32 and in bfloat16: how far their validation losses are apart',
  quick: 'one seed and 60 steps',
  options: {
    config: text('<file|recipe>', 'what to train', 'tiny'),
    set: SET,
    seeds: count('trainings in each precision', 3, { quick: 1 }),
    steps: count('steps of each', 500, { quick: 60 }),
  },

  async measure({ options: { config, set, seeds, steps }, ...place }): Promise<Figures> {
    const why = whyNoBfloat16();
    if (why !== null) throw new TrainerError('NO_RESOURCE', `bfloat16: ${why}`);
    const part = (seed: number, precision: string) => {
      const sets = [
        ...set,
        ...[`seed=${seed}`, `train.precision=${precision}`, `train.steps=${steps}`],
        ...[`train.validateEvery=${steps}`, `train.checkpointEvery=${steps}`, 'train.validationSequences=64'],
      ];
      const key = loadConfig(config, { sets });
      return { name: `${precision}-${seed}`, kind: `trained in ${precision}`, key, config, sets };
    };
    const pairs = Array.from(
      { length: seeds },
      (_, i) => [part(i + 1, 'float32'), part(i + 1, 'bfloat16')] as const,
    );
    const parts = new Parts(place, pairs.flat());
    const runs: Figures['runs'][number][] = [];
    for (const [i, pair] of pairs.entries()) {
      const { loss: float32 } = await parts.train(pair[0], lossOf);
      const { loss: bfloat16 } = await parts.train(pair[1], lossOf);
      runs.push({ seed: i + 1, float32, bfloat16, difference: bfloat16 / float32 - 1 });
    }
    const worst = Math.max(...runs.map(({ difference }) => Math.abs(difference)));
    console.log(`greatest difference: ${(100 * worst).toFixed(2)} %`);
    if (worst > TOLERANCE) place.fail();
    return { recipe: config, steps, runs, worst };
  },

  report: ({ recipe, steps, runs, worst }) => ({
    view: {
      recipe,
      steps,
      tolerance: (100 * TOLERANCE).toFixed(1),
      worst: (100 * worst).toFixed(2),
      runs: runs.map(({ seed, float32, bfloat16, difference }) => ({
        seed,
        float32: float32.toFixed(4),
        bfloat16: bfloat16.toFixed(4),
        difference: signedPercent(difference),
      })),
    },
  }),
});

function lossOf(run: RunFolder): { readonly loss: number } {
  const validations = readRecords(run.metrics).filter((record) => record.type === 'validation');
  return { loss: meanLoss(validations.at(-1)!) };
}
