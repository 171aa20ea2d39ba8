import { meanLoss, type RunFolder, readRecords } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { mean, median } from '../../packages/bench/src/statistics.js';
import type { Parts, TrainingPart } from '../kit/parts.js';
import { signedPercent, type View } from '../kit/text.js';

/**
 * Settings of each family. A token passes through one expert of the same number of operations in each: three
 * matrices of 2 F / 3 columns take as many as two matrices of F.
 */
const FAMILIES: Readonly<Record<string, (dFeedForward: number) => readonly string[]>> = {
  'pangu-sigma': () => [],
  mixtral: (dFeedForward) => [
    'model.family=mixtral',
    `model.dFeedForward=${8 * Math.round(dFeedForward / 12)}`,
  ],
};
const PLAIN = ['moe.tokenPreference=0', 'moe.capacityFactor=1.25'];
/** Settings of each router; `locmoe-plus` is as the recipe has it. */
const ROUTERS: Readonly<Record<string, readonly string[]>> = {
  hash: ['moe.router=hash', ...PLAIN],
  switch: ['moe.router=switch', ...PLAIN],
  'locmoe-plus': ['moe.router=locmoe-plus'],
};
const WARM_UP = 10;
type Kind = 'loss' | 'time';

interface Row {
  readonly family: string;
  readonly router: string;
  /** Nats per token of held-out text after the last step, by seed. */
  readonly losses: readonly number[];
  /** Median of the step time on the recipe's layout; null before it is measured. */
  readonly stepMs: number | null;
}

/** Loss and step time of both families. */
export interface Forms {
  readonly recipe: string;
  readonly steps: number;
  readonly seeds: number;
  readonly rows: readonly Row[];
}

interface FormsOptions {
  readonly config: string;
  readonly seeds: number;
  readonly steps: number;
}

/**
 * Plans the trainings of each family with each router; for a kind that is not made, kept results are used.
 */
export function planForms({ config, seeds, steps }: FormsOptions, makes: (kind: Kind) => boolean) {
  const { model } = loadConfig(config, { sets: [] });
  const part = (kind: Kind, name: string, sets: readonly string[], last: number) => {
    const all = [
      ...sets,
      ...[`train.steps=${last}`, `train.validateEvery=${last}`, `train.checkpointEvery=${last}`],
    ];
    const key = loadConfig(config, { sets: all });
    return { name: `${kind}-${name}`, kind, key, config, sets: all };
  };
  const alone = ['cluster.nodes=1', 'cluster.workersPerNode=1', 'train.validationSequences=128'];
  const cells = Object.entries(FAMILIES).flatMap(([family, setsOf]) =>
    Object.entries(ROUTERS).map(([router, own]) => {
      const sets = [...setsOf(model.dFeedForward), ...own];
      return {
        family,
        router,
        losses: Array.from({ length: seeds }, (_, i) =>
          part('loss', `${family}-${router}-${i + 1}`, [...sets, ...alone, `seed=${i + 1}`], steps),
        ),
        time: part('time', `${family}-${router}`, sets, 60),
      };
    }),
  );
  const planned: readonly TrainingPart[] = cells
    .flatMap(({ losses, time }) => [...losses, time])
    .filter(({ kind }) => makes(kind));
  return {
    parts: planned,
    /** @param previous returned unchanged if neither kind is made */
    async make(parts: Parts, previous: Forms | null): Promise<Forms> {
      if (planned.length === 0 && previous !== null) {
        const { recipe, rows } = previous;
        return { recipe, steps: previous.steps, seeds: previous.seeds, rows };
      }
      const made = async <Result extends object>(
        one: ReturnType<typeof part>,
        resultOf: (run: RunFolder) => Result,
      ) => (makes(one.kind) ? parts.train(one, resultOf) : parts.find<Result>(one));
      const rows: Row[] = [];
      for (const { family, router, ...each } of cells) {
        const losses: number[] = [];
        for (const one of each.losses) losses.push(...((await made(one, lossOf))?.loss ?? []));
        rows.push({ family, router, losses, stepMs: (await made(each.time, stepMsOf))?.stepMs ?? null });
      }
      return { recipe: config, steps, seeds, rows };
    },
  };
}

export function formsView({ recipe, steps, seeds, rows }: Forms): View {
  return {
    recipe,
    steps,
    seeds,
    rows: rows.map(({ family, router, losses, stepMs }) => {
      const first = rows.find((row) => row.router === router)!;
      const change = (own: number, other: number) =>
        first.family === family ? '' : signedPercent(own / other - 1);
      const isTrained = losses.length > 0;
      const own = perplexity(losses);
      return {
        family,
        router,
        perplexity: isTrained ? own.toFixed(1) : '',
        spread: losses.map((loss) => Math.exp(loss).toFixed(1)).join(', '),
        change: isTrained ? change(own, perplexity(first.losses)) : '',
        stepMs: stepMs?.toFixed(0) ?? '',
        timeChange: stepMs === null || first.stepMs === null ? '' : change(stepMs, first.stepMs),
      };
    }),
  };
}

/** Geometric mean of the perplexity over the seeds. */
function perplexity(losses: readonly number[]): number {
  return Math.exp(mean(losses));
}

function lossOf(run: RunFolder): { readonly loss: readonly number[] } {
  const validations = readRecords(run.metrics).filter((record) => record.type === 'validation');
  return { loss: [meanLoss(validations.at(-1)!)] };
}

export function stepMsOf(run: RunFolder): { readonly stepMs: number } {
  const ends = readRecords(run.metrics).flatMap((record) => (record.type === 'step' ? record.time : []));
  const times = ends.slice(1).map((time, i) => time - ends[i]!);
  return { stepMs: median(times.slice(WARM_UP)) };
}
