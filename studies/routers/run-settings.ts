import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { elementTypeOf } from 'locmoe/internal/ops/kernels/choose-kernels';
import type { InterNodeLink } from './calibration.js';
import { HEADLINE_CELL, type Job, type Layout, settingsOf } from './jobs.js';
import { BASELINE } from './variants.js';

export interface RecipeOptions {
  /** Recipe or config file. */
  readonly config: string;
  /** `--set` overrides of every run. */
  readonly set: readonly string[];
  /** Training steps of a run for quality; those of the recipe if undefined. */
  readonly steps?: number;
  /** Training steps of a run for time. */
  readonly timeSteps: number;
}

/** How a run is trained: what `locmoe train --set` is told, and what comes of it. */
export interface RunSettings {
  readonly config: RunConfig;
  readonly sets: readonly string[];
}

/** Validations of a run for quality: the time to a perplexity lies between two of them. */
const VALIDATIONS = 20;
/** Checkpoints of a probed run. */
const CHECKPOINTS = 6;

/** Everything but the length of a run. */
export function settingsOfJob(options: RecipeOptions, job: Job, link: InterNodeLink): string[] {
  const { moe, data } = loadConfig(options.config, { sets: options.set });
  const size = { numExperts: moe.numExperts, numDomains: data.domains.length };
  return [
    ...precisionSettings(options),
    ...options.set,
    ...settingsOf(job, size),
    // The link has no limit where only the result counts.
    `cluster.interNodeLink=${JSON.stringify(job.kind === 'quality' ? null : link)}`,
  ];
}

/** Returns the precision that `auto` means on this machine, as a run in the other one is another run; `--set` comes later and decides. */
function precisionSettings({ config, set }: RecipeOptions): string[] {
  return [`train.precision=${elementTypeOf(loadConfig(config, { sets: set }).train.precision)}`];
}

/** @throws TrainerError `BAD_CONFIG` as `loadConfig` */
export function resolveJob(options: RecipeOptions, job: Job, link: InterNodeLink): RunSettings {
  const wanted = job.kind === 'time' ? options.timeSteps : options.steps;
  const length = wanted === undefined ? [] : [`train.steps=${wanted}`];
  const sets = [...settingsOfJob(options, job, link), ...length];
  const { steps, warmupSteps } = loadConfig(options.config, { sets }).train;
  const every = (points: number) => Math.max(1, Math.ceil(steps / points));
  const all = [
    ...sets,
    `train.warmupSteps=${Math.min(warmupSteps, Math.floor(steps / 2))}`,
    `train.checkpointEvery=${isProbed(job) ? every(CHECKPOINTS) : steps}`,
    `train.keepCheckpoints=${CHECKPOINTS}`,
    ...(job.kind === 'time'
      ? [`train.validateEvery=${steps}`, 'train.validationSequences=1']
      : [`train.validateEvery=${every(VALIDATIONS)}`]),
  ];
  return { config: loadConfig(options.config, { sets: all }), sets: all };
}

/** How experts part tokens is looked at with the first seed, at each router's own capacity. */
export function isProbed({ kind, seed, capacity }: Job): boolean {
  return kind !== 'time' && seed === 1 && capacity === null;
}

/**
 * Where runs for quality are fastest: the two nodes of the headline cell, since the locality loss depends on which experts are
 * on a token's node, with a worker for each core.
 *
 * @param cores of this machine
 */
export function qualityLayout({ moe, train }: RunConfig, cores: number): Layout {
  const fits = (workers: number) =>
    moe.numExperts % (2 * workers) === 0 && train.globalBatch % (2 * workers) === 0;
  let workers = Math.max(1, Math.floor(cores / 2));
  while (workers > 1 && !fits(workers)) workers--;
  return `2x${workers}`;
}

/** The baseline's run of a kind, by which links are set and times guessed. */
export function baselineJob(kind: Job['kind'], layout: Layout = HEADLINE_CELL.layout): Job {
  return { ...HEADLINE_CELL, layout, kind, variant: BASELINE, seed: 1, capacity: null };
}
