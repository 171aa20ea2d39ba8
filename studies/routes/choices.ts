import path from 'node:path';
import type { RunFolder } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import type { LayerRoutes } from 'locmoe/internal/evaluation/routes/report';
import { mean } from '../../packages/bench/src/statistics.js';
import { runTraining } from '../../packages/bench/src/training.js';
import type { PartPlace } from '../kit/parts.js';
import { type Router, readAllRouters } from '../kit/routers.js';
import { jsonOf } from './json-of.js';

/** Number of recorded steps at the end of a run, where the router hardly changes any more. */
const RECORDED_STEPS = 3;
const EVERY = 5;
const QUICK_STEPS = 20;
const QUICK = ['hash', 'locmoe-plus'];
/** Settings for two nodes of one rank, each with the text of two domains. */
const SETTINGS = [
  ...['train.precision=auto', 'seed=1', 'data.placement=domain', 'cluster.nodes=2'],
  ...['cluster.workersPerNode=1', 'cluster.interNodeLink=null', 'train.validateEvery=1000'],
];

/** What decides the choices of a router, over the sparse layers of one run. Shares are fractions. */
export interface RouterChoices {
  readonly label: string;
  readonly choices: number;
  readonly kept: number;
  /**
   * Share of held-out choices that the id, or id and domain, predict, each with half of its 95 % interval.
   */
  readonly byId: number;
  readonly byIdError: number;
  readonly byIdAndDomain: number;
  readonly byIdAndDomainError: number;
  /** The same share if experts are shuffled. */
  readonly shuffled: number;
  /**
   * Of what id and domain leave undetermined: the share that the previous id explains, null if nothing is
   * left; and the number of bits left.
   */
  readonly byIdBefore: number | null;
  readonly bitsLeft: number;
  /** Share of choices that are the gate's own first choice; null without a gate. */
  readonly gateShare: number | null;
  readonly margin: number | null;
  readonly stability: number;
  readonly loadMax: number;
  /**
   * Validation perplexity as trained, with the gate's scores set to zero, and with the scores of other
   * tokens.
   */
  readonly perplexity: number;
  readonly perplexityWithoutGate: number;
  readonly perplexityWithOthersScores: number;
}

interface Ablations {
  readonly ablations: readonly { readonly name: string; readonly loss: number }[];
}

export type Choices = Readonly<Record<string, RouterChoices>>;

/** Trains the recipe `routers` with each router and measures what decides the choices of its last steps. */
export async function measureChoices(place: PartPlace): Promise<Choices> {
  const { quick, workDir, dataDir, log } = place;
  const all = readAllRouters('routes/routers.yaml');
  const found: Record<string, RouterChoices> = {};
  for (const router of quick ? all.filter(({ id }) => QUICK.includes(id)) : all) {
    const steps = quick ? QUICK_STEPS : loadConfig('routers').train.steps;
    const recording = JSON.stringify({ every: EVERY, from: steps - EVERY * (RECORDED_STEPS - 1), share: 1 });
    const run = await runTraining({
      config: 'routers',
      sets: [
        ...SETTINGS,
        ...router.sets,
        ...[`train.steps=${steps}`, `train.checkpointEvery=${steps}`, `train.recordRoutes=${recording}`],
        ...(quick ? [`train.warmupSteps=${QUICK_STEPS / 2}`] : []),
      ],
      folder: path.join(workDir, router.id),
      dataDir,
    });
    const figures = await figuresOf(router, run, place);
    found[router.id] = figures;
    const { byIdAndDomain, perplexity } = figures;
    log(
      `${router.label}: id and domain predict ${byIdAndDomain.toFixed(4)}; perplexity ${perplexity.toFixed(2)}`,
    );
  }
  return found;
}

async function figuresOf(
  { label }: Router,
  { directory }: RunFolder,
  { dataDir, signal }: PartPlace,
): Promise<RouterChoices> {
  const layers = await jsonOf<LayerRoutes[]>(['routes', 'report', directory, '--json'], signal);
  const ablate = ['eval', '--checkpoint', directory, '--ablate', 'gate', '--data-dir', dataDir, '--json'];
  const { ablations } = await jsonOf<Ablations>(ablate, signal);
  const perplexityOf = (name: string) => Math.exp(ablations.find((each) => each.name === name)!.loss);
  const over = (of: (layer: LayerRoutes) => number) => mean(layers.map(of));
  const gates = layers.flatMap(({ gate }) => gate ?? []);
  const before = layers.flatMap(({ explained }) => explained['id before, given id and domain'] ?? []);
  const idAndDomain = (layer: LayerRoutes) => layer.predicted.expert['id and domain'];
  return {
    label,
    choices: layers.reduce((sum, { choices }) => sum + choices, 0),
    kept: over(({ kept, choices }) => kept / choices),
    byId: over(({ predicted }) => predicted.expert.id.share),
    byIdError: over(({ predicted }) => predicted.expert.id.error),
    byIdAndDomain: over((layer) => idAndDomain(layer).share),
    byIdAndDomainError: over((layer) => idAndDomain(layer).error),
    shuffled: over(({ shuffled }) => shuffled),
    byIdBefore: before.length === 0 ? null : mean(before),
    bitsLeft: over(({ entropy, explained }) => entropy * (1 - (explained['id and domain'] ?? 1))),
    gateShare: gates.length === 0 ? null : mean(gates.map(({ share }) => share)),
    margin: gates.length === 0 ? null : mean(gates.map(({ margin }) => margin ?? 0)),
    stability: over(({ stability }) => mean(stability.map(({ share }) => share))),
    loadMax: Math.max(...layers.map(({ load }) => load.max)),
    perplexity: perplexityOf('as trained'),
    perplexityWithoutGate: perplexityOf('gate scores zero'),
    perplexityWithOthersScores: perplexityOf('gate scores of other tokens'),
  };
}
