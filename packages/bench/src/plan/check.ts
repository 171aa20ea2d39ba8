import path from 'node:path';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { readRunFigures } from '../routers/run-figures.js';
import { median } from '../statistics.js';
import { runTraining } from '../training.js';
import { configuredLink } from './inputs.js';
import { predict } from './predict.js';
import type { MachineProfile } from './profile.js';
import { UNIFORM } from './routing-model.js';

/** Layouts (nodes x workers per node) checked on this machine. */
export const CHECKED_LAYOUTS = ['1x1', '1x2', '2x1', '2x2', '4x1'] as const;
export type CheckedLayout = (typeof CHECKED_LAYOUTS)[number];

export interface LayoutCheck {
  readonly layout: CheckedLayout;
  /** Choices that 1x1 kept for a token of a sparse layer. */
  readonly keptPerToken: number;
  readonly predictedMs: number;
  /** Median over runs of the median step, and its range over runs. */
  readonly measuredMs: number;
  readonly leastMs: number;
  readonly mostMs: number;
  /** Predicted over measured, minus one. */
  readonly error: number;
  readonly predictedBytesOtherNode: number;
  readonly measuredBytesOtherNode: number;
}

export interface CheckOptions {
  readonly config: string;
  readonly set: readonly string[];
  readonly profile: MachineProfile;
  readonly steps: number;
  /** Runs per layout. Layouts alternate, so that a temporary slowdown does not hit only one. */
  readonly rounds: number;
  readonly workDir: string;
  readonly dataDir: string;
  readonly log: (line: string) => void;
}

interface Measured {
  readonly stepMs: number;
  readonly bytesOtherNode: number;
  readonly keptPerToken: number;
}

/**
 * Trains every layout and compares. All nodes are processes of this machine and share its cores. What a router keeps
 * follows from text and weights, which a plan does not know, and is the same in every layout: 1x1 tells it.
 *
 * @throws TrainerError `INTERNAL` if a run failed; `INTERRUPTED`
 */
export async function checkLayouts(options: CheckOptions): Promise<LayoutCheck[]> {
  const measured = new Map<CheckedLayout, Measured[]>();
  for (let round = 1; round <= options.rounds; round++)
    for (const layout of CHECKED_LAYOUTS) {
      const result = await train(options, layout);
      measured.set(layout, [...(measured.get(layout) ?? []), result]);
      options.log(`round ${round} of ${options.rounds}, ${layout}: step ${result.stepMs.toFixed(1)} ms`);
    }
  const keptPerToken = median((measured.get('1x1') ?? []).map((run) => run.keptPerToken));
  return CHECKED_LAYOUTS.map((layout) => compare(options, layout, measured.get(layout) ?? [], keptPerToken));
}

function settingsOf({ set }: CheckOptions, layout: CheckedLayout): string[] {
  const [nodes, workersPerNode] = layout.split('x');
  return [...set, `cluster.nodes=${nodes}`, `cluster.workersPerNode=${workersPerNode}`];
}

async function train(options: CheckOptions, layout: CheckedLayout): Promise<Measured> {
  const { config, steps, workDir, dataDir } = options;
  const folder = await runTraining({
    config,
    sets: [
      ...settingsOf(options, layout),
      ...[`train.steps=${steps}`, `train.validateEvery=${steps}`, `train.checkpointEvery=${steps}`],
      ...['train.warmupSteps=1', 'train.validationSequences=1'],
    ],
    folder: path.resolve(workDir, 'runs', layout),
    dataDir,
  });
  const { stepMs, bytesOtherNode, tokensPerExpert, tokensPerStep, loadByLayer } = readRunFigures(
    folder.metrics,
  );
  const numExperts = loadByLayer[0]!.length;
  return {
    stepMs: stepMs.median,
    bytesOtherNode,
    keptPerToken: (tokensPerExpert * numExperts) / tokensPerStep,
  };
}

function compare(
  options: CheckOptions,
  layout: CheckedLayout,
  runs: readonly Measured[],
  keptPerToken: number,
): LayoutCheck {
  const config = loadConfig(options.config, { sets: settingsOf(options, layout) });
  const { stepMs: predictedMs, traffic } = predict({
    config,
    profile: options.profile,
    coresPerNode: options.profile.cores / config.cluster.nodes,
    link: configuredLink(config),
    routing: { ...UNIFORM, keptPerToken },
  });
  const times = runs.map(({ stepMs }) => stepMs);
  const measuredMs = median(times);
  return {
    layout,
    keptPerToken,
    predictedMs,
    measuredMs,
    leastMs: Math.min(...times),
    mostMs: Math.max(...times),
    error: predictedMs / measuredMs - 1,
    predictedBytesOtherNode: traffic.otherNodeBytes,
    measuredBytesOtherNode: median(runs.map(({ bytesOtherNode }) => bytesOtherNode)),
  };
}
