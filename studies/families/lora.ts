import { readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { type RunFolder, readRecords, stepFolder } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { formatCount } from 'locmoe/internal/format';
import { parameterCounts } from 'locmoe/internal/model/parameter-counts';
import { mean, median, spreadOf } from '../../packages/bench/src/statistics.js';
import type { Parts, TrainingPart } from '../kit/parts.js';
import { type View, withSpread } from '../kit/text.js';
import { stepMsOf } from './forms.js';

const RECIPE = 'mixtral-tiny';
const NEW_DOMAIN = 'telecom';
const OLD_DOMAINS = ['en', 'zh', 'code'];
/** Number of ranks, all on one node, for a machine of two cores. */
const RANKS = 2;
/** Weight so low that a domain has no sequence in runs as short as these, but is validated. */
const NEVER = 1e-9;
const RANK = 8;
/**
 * Each arm has the learning rate with the lowest final loss on the new domain, among rates a factor of three
 * apart; pairs tolerate higher ones.
 */
const ARMS = {
  'all weights': ['train.learningRate=0.003'],
  'pairs beside the attention': [`train.lora={rank: ${RANK}, on: [attention]}`, 'train.learningRate=0.03'],
  'pairs beside attention and experts': [
    `train.lora={rank: ${RANK}, on: [attention, experts]}`,
    'train.learningRate=0.01',
  ],
} as const;
type Arm = keyof typeof ARMS;
const ARM_NAMES = Object.keys(ARMS) as Arm[];

/** Nats per token of held-out text: of the new domain, and the mean of the old ones. */
interface Losses {
  readonly new: number;
  readonly old: number;
}

/** Result of fine-tuning with one seed. */
interface Tuned {
  readonly before: Losses;
  readonly after: Losses;
  readonly stepMs: number;
  /** Bytes of the optimizer's state in the last checkpoint. */
  readonly optimizerBytes: number;
  readonly checkpointBytes: number;
}

/** Low-rank pairs against all weights, on a domain that the pretrained model has not seen. */
export interface Lora {
  readonly recipe: string;
  readonly newDomain: string;
  readonly rank: number;
  readonly baseSteps: number;
  readonly steps: number;
  readonly tokens: number;
  readonly parameters: number;
  readonly arms: readonly {
    readonly tuned: Arm;
    readonly trained: number;
    readonly runs: readonly Tuned[];
  }[];
}

interface LoraOptions {
  readonly seeds: number;
  readonly baseSteps: number;
  readonly steps: number;
}

export function planLora({ seeds, baseSteps, steps }: LoraOptions) {
  const part = (name: string, kind: string, own: readonly string[], last: number, from: unknown = null) => {
    const sets = [
      ...['cluster.nodes=1', `cluster.workersPerNode=${RANKS}`, 'train.validationSequences=64'],
      `data.domains=[${[...OLD_DOMAINS, NEW_DOMAIN]}]`,
      ...[`train.steps=${last}`, `train.validateEvery=${last}`, `train.checkpointEvery=${last}`],
      `train.warmupSteps=${Math.floor(last / 8)}`,
      ...own,
    ];
    const config = loadConfig(RECIPE, { sets });
    return { name, kind, key: { config, from }, config: RECIPE, sets, counts: parameterCounts(config) };
  };
  const weights = (old: number, ofNew: number) => `data.weights=[${[...OLD_DOMAINS.map(() => old), ofNew]}]`;
  const work = Array.from({ length: seeds }, (_, i) => {
    const seed = `seed=${i + 1}`;
    const base = part(`base-${i + 1}`, 'base', [seed, weights(1, NEVER)], baseSteps);
    const tuned = ARM_NAMES.map((arm, k) => {
      const own = [seed, weights(NEVER, 1), 'train.endLearningRate=0', ...ARMS[arm]];
      return { arm, ...part(`tuned-${k}-${i + 1}`, 'tuned', own, steps, base.key) };
    });
    return { base: { ...base, usedBy: tuned }, tuned };
  });
  const { key, counts } = work[0]!.base;
  const { model, train } = key.config;
  return {
    parts: work.flatMap(({ base, tuned }): readonly TrainingPart[] => [base, ...tuned]),
    async make(parts: Parts): Promise<Lora> {
      const runs = new Map<Arm, Tuned[]>(ARM_NAMES.map((arm) => [arm, []]));
      for (const { base, tuned } of work) {
        const { checkpoint } = await parts.train(base, ({ directory }) => ({ checkpoint: directory }));
        for (const each of tuned)
          runs.get(each.arm)!.push(await parts.train(each, tunedOf, ['--init', checkpoint]));
      }
      return {
        recipe: RECIPE,
        newDomain: NEW_DOMAIN,
        rank: RANK,
        baseSteps,
        steps,
        tokens: steps * train.globalBatch * model.seqLen,
        parameters: counts.model,
        arms: work[0]!.tuned.map(({ arm, counts: { trained } }) => ({
          tuned: arm,
          trained: trained.shared + RANKS * trained.expertsOfRank,
          runs: runs.get(arm)!,
        })),
      };
    },
  };
}

function tunedOf(run: RunFolder): Tuned {
  const validations = readRecords(run.metrics).filter((record) => record.type === 'validation');
  const losses = ({ domains }: (typeof validations)[number]): Losses => {
    const of = (isNew: boolean) =>
      mean(domains.filter(({ domain }) => (domain === NEW_DOMAIN) === isNew).map(({ loss }) => loss));
    return { new: of(true), old: of(false) };
  };
  const last = validations.at(-1)!;
  const folder = stepFolder(run.checkpoints, last.step);
  const files = readdirSync(folder).map((name) => ({ name, bytes: statSync(path.join(folder, name)).size }));
  const total = (prefix: string) =>
    files.reduce((sum, { name, bytes }) => (name.startsWith(prefix) ? sum + bytes : sum), 0);
  const sizes = { optimizerBytes: total('optimizer-'), checkpointBytes: total('') };
  rmSync(run.checkpoints, { recursive: true });
  return { before: losses(validations[0]!), after: losses(last), ...stepMsOf(run), ...sizes };
}

export function loraView({ arms, parameters, tokens, ...lora }: Lora): View {
  const perplexity = (losses: readonly number[]) =>
    withSpread(spreadOf(losses.map((loss) => Math.exp(loss))), (value) => value.toFixed(1));
  const ofRuns = (runs: readonly Tuned[], when: 'before' | 'after') => ({
    ofNew: perplexity(runs.map((run) => run[when].new)),
    ofOld: perplexity(runs.map((run) => run[when].old)),
  });
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  return {
    ...lora,
    tokens: formatCount(tokens),
    seeds: arms[0]!.runs.length,
    arms: [
      {
        tuned: 'nothing yet',
        trained: '',
        ...ofRuns(arms[0]!.runs, 'before'),
        stepMs: '',
        optimizer: '',
        checkpoint: '',
      },
      ...arms.map(({ tuned, trained, runs }) => ({
        tuned,
        trained: `${formatCount(trained)} (${((100 * trained) / parameters).toFixed(1)} %)`,
        ...ofRuns(runs, 'after'),
        stepMs: median(runs.map(({ stepMs }) => stepMs)).toFixed(0),
        optimizer: megabytes(runs[0]!.optimizerBytes),
        checkpoint: megabytes(runs[0]!.checkpointBytes),
      })),
    ],
  };
}
