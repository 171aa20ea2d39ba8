import { meanLoss, type RunFolder, readRecords } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { mean, median } from '../../packages/bench/src/statistics.js';
import { count, text, words } from '../kit/options.js';
import { Parts, type TrainingPart } from '../kit/parts.js';
import { study } from '../kit/study.js';
import { signedPercent } from '../kit/text.js';

/** A token has one expert in each, of as many operations: three matrices of 2 F / 3 columns take what two of F take. */
const FAMILIES: Readonly<Record<string, (dFeedForward: number) => readonly string[]>> = {
  'pangu-sigma': () => [],
  mixtral: (dFeedForward) => [
    'model.family=mixtral',
    `model.dFeedForward=${8 * Math.round(dFeedForward / 12)}`,
  ],
};
const PLAIN = ['moe.tokenPreference=0', 'moe.capacityFactor=1.25'];
/** `locmoe-plus` as the recipe has it. */
const ROUTERS: Readonly<Record<string, readonly string[]>> = {
  hash: ['moe.router=hash', ...PLAIN],
  switch: ['moe.router=switch', ...PLAIN],
  'locmoe-plus': ['moe.router=locmoe-plus'],
};
const WARM_UP = 10;

interface Row {
  readonly family: string;
  readonly router: string;
  /** Nats per token of held-out text after the last step, by seed. */
  readonly losses: readonly number[];
  /** Median on the recipe's layout; null before it is measured. */
  readonly stepMs: number | null;
}

interface Figures {
  readonly recipe: string;
  readonly steps: number;
  readonly seeds: number;
  readonly rows: readonly Row[];
}

export default study({
  name: 'families',
  description:
    'the families of models at as many operations a token: loss after the same tokens, and time of a step, by router',
  quick: 'one seed and 60 steps',
  options: {
    config: text('<file|recipe>', 'what to train', 'tiny'),
    seeds: count('trainings of each', 3, { quick: 1 }),
    steps: count('steps of each', 400, { quick: 60 }),
    only: words('what to make: loss or time'),
  },

  async measure({ options: { config, seeds, steps, only }, ...place }): Promise<Figures> {
    const { model } = loadConfig(config, { sets: [] });
    const cells = Object.entries(FAMILIES).flatMap(([family, sets]) =>
      Object.entries(ROUTERS).map(([router, of]) => ({
        family,
        router,
        sets: [...sets(model.dFeedForward), ...of],
      })),
    );
    const part = (
      kind: 'loss' | 'time',
      name: string,
      sets: readonly string[],
      last: number,
    ): TrainingPart => {
      const all = [...sets, ...[`train.steps=${last}`, `train.validateEvery=${last}`]];
      const key = loadConfig(config, { sets: [...all, `train.checkpointEvery=${last}`] });
      return { name: `${kind}-${name}`, kind, key, config, sets: [...all, `train.checkpointEvery=${last}`] };
    };
    const alone = ['cluster.nodes=1', 'cluster.workersPerNode=1', 'train.validationSequences=128'];
    const planned = cells.map(({ family, router, sets }) => ({
      family,
      router,
      losses: Array.from({ length: seeds }, (_, i) =>
        part('loss', `${family}-${router}-${i + 1}`, [...sets, ...alone, `seed=${i + 1}`], steps),
      ),
      time: part('time', `${family}-${router}`, sets, 60),
    }));
    const makes = (kind: string) => only.length === 0 || only.includes(kind);
    const parts = new Parts(place, [
      ...(makes('loss') ? planned.flatMap(({ losses }) => losses) : []),
      ...(makes('time') ? planned.map(({ time }) => time) : []),
    ]);
    const made = async <Result extends object>(one: TrainingPart, resultOf: (run: RunFolder) => Result) =>
      makes(one.kind) ? parts.train(one, resultOf) : parts.find<Result>(one);
    const rows: Row[] = [];
    for (const { family, router, ...each } of planned) {
      const losses: number[] = [];
      for (const one of each.losses) losses.push(...((await made(one, lossOf))?.loss ?? []));
      rows.push({ family, router, losses, stepMs: (await made(each.time, stepMsOf))?.stepMs ?? null });
    }
    return { recipe: config, steps, seeds, rows };
  },

  report: ({ recipe, steps, seeds, rows }) => ({
    view: {
      recipe,
      steps,
      seeds,
      rows: rows.map(({ family, router, losses, stepMs }) => {
        const first = rows.find((row) => row.router === router)!;
        const change = (own: number, other: number) =>
          first.family === family ? '' : signedPercent(own / other - 1);
        const own = perplexity(losses);
        return {
          family,
          router,
          perplexity: own.toFixed(1),
          spread: losses.map((loss) => Math.exp(loss).toFixed(1)).join(', '),
          change: change(own, perplexity(first.losses)),
          stepMs: stepMs?.toFixed(0) ?? '',
          timeChange: stepMs === null || first.stepMs === null ? '' : change(stepMs, first.stepMs),
        };
      }),
    },
  }),
});

/** Geometric mean over the seeds. */
function perplexity(losses: readonly number[]): number {
  return Math.exp(mean(losses));
}

function lossOf(run: RunFolder): { readonly loss: readonly number[] } {
  const validations = readRecords(run.metrics).filter((record) => record.type === 'validation');
  return { loss: [meanLoss(validations.at(-1)!)] };
}

function stepMsOf(run: RunFolder): { readonly stepMs: number } {
  const ends = readRecords(run.metrics).flatMap((record) => (record.type === 'step' ? record.time : []));
  const times = ends.slice(1).map((time, i) => time - ends[i]!);
  return { stepMs: median(times.slice(WARM_UP)) };
}
