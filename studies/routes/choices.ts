import path from 'node:path';
import type { RunFolder } from '@locmoe/run-format';
import type { LayerRoutes } from 'locmoe/internal/evaluation/routes/report';
import { mean } from '../../packages/bench/src/statistics.js';
import { runTraining } from '../../packages/bench/src/training.js';
import type { PartPlace } from '../kit/parts.js';
import { resolveJob } from '../routers/jobs.js';
import { labelOf, VARIANT_IDS, type VariantId } from '../routers/variants.js';
import { jsonOf } from './json-of.js';

/** The recorded steps are the last of a run, so that several of them have nearly the same router. */
const RECORDED_STEPS = 3;
const EVERY = 5;
const QUICK_STEPS = 20;
const QUICK: readonly VariantId[] = ['hash', 'locmoe-plus'];
/** Variants that differ from others in how they drop alone. */
const LEFT_OUT: readonly VariantId[] = ['hash-first-come', 'locmoe-plus-tcr', 'locmoe-plus-ecr'];

/** What decides the choices of a router, over the sparse layers of one run. Shares are fractions. */
export interface RouterChoices {
  readonly label: string;
  readonly choices: number;
  readonly kept: number;
  /** Share of held-out choices that id, or id and domain, predict, with half of its 95 % interval. */
  readonly byId: number;
  readonly byIdError: number;
  readonly byIdAndDomain: number;
  readonly byIdAndDomainError: number;
  /** The same where the experts are dealt anew. */
  readonly shuffled: number;
  /** Of what id and domain leave, the share that the id before explains, and bits that are left; null if nothing is. */
  readonly byIdBefore: number | null;
  readonly bitsLeft: number;
  /** Share of choices that are the gate's own first one; null without a gate. */
  readonly gateShare: number | null;
  readonly margin: number | null;
  readonly stability: number;
  readonly loadMax: number;
  /** Validation perplexity as trained, with the scores of the gate zero, and with those of other tokens. */
  readonly perplexity: number;
  readonly perplexityWithoutGate: number;
  readonly perplexityWithOthersScores: number;
}

interface Ablations {
  readonly ablations: readonly { readonly name: string; readonly loss: number }[];
}

export type Choices = Readonly<Record<string, RouterChoices>>;

/** Trains the recipe `routers` with each router and asks what decided the choices of its last steps. */
export async function measureChoices(place: PartPlace): Promise<Choices> {
  const { quick, workDir, dataDir, log } = place;
  const variants = VARIANT_IDS.filter((id) => (quick ? QUICK.includes(id) : !LEFT_OUT.includes(id)));
  const found: Record<string, RouterChoices> = {};
  for (const variant of variants) {
    const job = {
      kind: 'quality',
      variant,
      seed: 1,
      layout: '2x1',
      placement: 'domain',
      capacity: null,
    } as const;
    const steps = quick ? { steps: QUICK_STEPS } : {};
    const { config, sets } = resolveJob({ config: 'routers', set: [], timeSteps: 1, ...steps }, job, null);
    const from = config.train.steps - EVERY * (RECORDED_STEPS - 1);
    const recording = JSON.stringify({ every: EVERY, from, share: 1 });
    const run = await runTraining({
      config: 'routers',
      sets: [...sets, 'train.validateEvery=1000', `train.recordRoutes=${recording}`],
      folder: path.join(workDir, variant),
      dataDir,
    });
    found[variant] = await figuresOf(variant, run, place);
    const { byIdAndDomain, perplexity } = found[variant];
    log(
      `${labelOf(variant)}: id and domain predict ${byIdAndDomain.toFixed(4)}; perplexity ${perplexity.toFixed(2)}`,
    );
  }
  return found;
}

async function figuresOf(
  variant: VariantId,
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
    label: labelOf(variant),
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
