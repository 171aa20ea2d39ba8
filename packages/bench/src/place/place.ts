import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import { inspectRoutes } from '@locmoe/run-format/routes-file';
import { assertNewFile } from 'locmoe/internal/cli/new-file';
import type { PlaceOptions } from 'locmoe/internal/cli/packages';
import { routeFiles, routesByFile } from 'locmoe/internal/cli/routes/read-places';
import { type RunConfig, runSchema } from 'locmoe/internal/config/schema';
import { changedFields } from 'locmoe/internal/coordinator/planning/changed-fields';
import { TrainerError } from 'locmoe/internal/errors';
import { formatCount, formatTable } from 'locmoe/internal/format';
import { planInput } from '../plan/inputs.js';
import type { PlanInput } from '../plan/predict.js';
import { mean } from '../statistics.js';
import { type Assessment, assess, type ReplicaEstimate, replicaEstimate } from './assess.js';
import { countRoutes, type RouteCounts } from './counts.js';
import { type FoundPlacement, findPlacement, randomPlacement } from './find-placement.js';

const RANDOM_DRAWS = 20;

/** Savings in one step. */
interface Saved {
  readonly bytesSameNode: number;
  readonly bytesOtherNode: number;
  readonly stepMs: number;
}

/** The placement that was found, compared with consecutive experts and with random placements. */
export interface PlaceReport extends FoundPlacement {
  readonly layout: { readonly nodes: number; readonly workersPerNode: number };
  readonly router: string;
  readonly recorded: Pick<RouteCounts, 'numSteps' | 'numSequences' | 'tiers'>;
  /** Where sequences are assumed to be. */
  readonly assumption: string;
  readonly contiguous: Assessment;
  /** Mean of `draws` random placements. */
  readonly random: Pick<
    Assessment,
    'bytesSameNode' | 'bytesOtherNode' | 'tiers' | 'load' | 'mostLoad' | 'stepMs'
  > & {
    readonly draws: number;
  };
  readonly placed: Assessment;
  /** Difference between consecutive and placed experts. */
  readonly saved: Saved;
  /**
   * What a placement found with one half of the sequences saves on the other half, averaged over both
   * directions. The rest of `saved` is overfitting to the recorded sequences. Null with too few sequences.
   */
  readonly savedOnOthers: Saved | null;
  /** Cost divided by its lower bound, minus one. */
  readonly gap: number;
  readonly replicas: ReplicaEstimate;
}

/**
 * `locmoe routes place`: finds the placement of experts that moves the fewest bytes, prints what it would
 * save, and writes it.
 *
 * @throws TrainerError `BAD_INPUT` or `BAD_CONFIG` for invalid options or routes
 */
export async function placeExperts(options: PlaceOptions): Promise<void> {
  const { output, json } = options;
  if (output !== undefined) assertNewFile('--output', output);
  const input = inputOf(options);
  const report = await placeReport(input, options);
  if (output !== undefined) writeFileSync(output, `${JSON.stringify(report.placement)}\n`, { flag: 'wx' });
  if (json) console.log(JSON.stringify(report));
  else for (const line of reportLines(input, report)) console.log(line);
  if (output !== undefined && !json) console.log(`${output}: train with it by --set moe.placement=${output}`);
}

type PlacesOptions = Pick<PlaceOptions, 'places' | 'from' | 'to' | 'maxLoad'>;

/** @throws TrainerError `BAD_INPUT` if the routes cannot be read or belong to another configuration */
export async function placeReport(
  input: PlanInput,
  { places, from, to, maxLoad }: PlacesOptions,
): Promise<PlaceReport> {
  const { config } = input;
  const { nodes, workersPerNode } = config.cluster;
  for (const file of routeFiles(places)) {
    const { numExperts } = await inspectRoutes(file);
    if (numExperts !== null && numExperts !== config.moe.numExperts)
      throw new TrainerError(
        'BAD_INPUT',
        `${file}: has routes to ${numExperts} experts, and moe.numExperts is ${config.moe.numExperts}; name its configuration with --config`,
      );
  }
  const { all: counts, halves } = await countRoutes(
    config,
    routesByFile({ places, from, ...(to !== undefined && { to }) }),
  );
  const found = findPlacement(input, counts, maxLoad);
  const contiguous = assess(input, counts, null);
  const placed = assess(input, counts, found.placement);
  const draws = Array.from({ length: RANDOM_DRAWS }, (_, draw) =>
    assess(input, counts, randomPlacement(config, counts, draw)),
  );
  const meanOf = (of: (draw: Assessment) => number) => mean(draws.map(of));
  return {
    ...found,
    layout: { nodes, workersPerNode },
    router: config.moe.router,
    recorded: { numSteps: counts.numSteps, numSequences: counts.numSequences, tiers: counts.tiers },
    assumption:
      config.data.placement === 'mixed'
        ? 'every rank has the same mixture of domains (data.placement mixed)'
        : "a domain's sequences are where its experts are (data.placement domain)",
    contiguous,
    random: {
      draws: RANDOM_DRAWS,
      bytesSameNode: meanOf((draw) => draw.bytesSameNode),
      bytesOtherNode: meanOf((draw) => draw.bytesOtherNode),
      tiers: {
        sameWorker: meanOf(({ tiers }) => tiers.sameWorker),
        sameNode: meanOf(({ tiers }) => tiers.sameNode),
        otherNode: meanOf(({ tiers }) => tiers.otherNode),
      },
      load: meanOf(({ load }) => load),
      mostLoad: meanOf(({ mostLoad }) => mostLoad),
      stepMs: meanOf(({ stepMs }) => stepMs),
    },
    placed,
    saved: savedBy(contiguous, placed),
    savedOnOthers: halves && savedOnOthers(input, halves, maxLoad),
    gap: found.boundMs === 0 ? 0 : found.costMs / found.boundMs - 1,
    replicas: replicaEstimate(config, counts, found.placement),
  };
}

function savedBy(contiguous: Assessment, placed: Assessment): Saved {
  return {
    bytesSameNode: contiguous.bytesSameNode - placed.bytesSameNode,
    bytesOtherNode: contiguous.bytesOtherNode - placed.bytesOtherNode,
    stepMs: contiguous.stepMs - placed.stepMs,
  };
}

function savedOnOthers(input: PlanInput, halves: readonly RouteCounts[], maxLoad: number): Saved {
  const both = halves.map((half, i) => {
    const { placement } = findPlacement(input, halves[1 - i]!, maxLoad);
    return savedBy(assess(input, half, null), assess(input, half, placement));
  });
  const meanOf = (of: (saved: Saved) => number) => mean(both.map(of));
  return {
    bytesSameNode: meanOf((saved) => saved.bytesSameNode),
    bytesOtherNode: meanOf((saved) => saved.bytesOtherNode),
    stepMs: meanOf((saved) => saved.stepMs),
  };
}

/** Returns the configuration that trained the routes, with the layout to place for. */
function inputOf({ places, config, set, ...options }: PlaceOptions): PlanInput {
  const file = config ?? configOfRuns(places);
  // The placement of the run, if it had one, is ignored.
  const input = planInput({ ...options, config: file, set: ['moe.placement=null', ...set], json: false });
  const { moe, model, cluster } = input.config;
  const refuse = (message: string) => new TrainerError('BAD_CONFIG', message);
  if (model.numSparseLayers === 0)
    throw refuse('model.numSparseLayers is 0: a dense model has no experts to place');
  if (moe.subModel !== null) throw refuse('moe.subModel: a placement is for a whole model');
  const numRanks = cluster.nodes * cluster.workersPerNode;
  if (moe.numExperts < numRanks)
    throw refuse(
      `moe.numExperts: a placement needs at least as many experts as ranks, and there are ${moe.numExperts} for ${numRanks}`,
    );
  return input;
}

/** Returns the configuration of the run whose routes are given; several runs must have equivalent configurations. */
function configOfRuns(places: readonly string[]): string {
  const missing = places.find((place) => !existsSync(place));
  if (missing !== undefined) throw new TrainerError('BAD_INPUT', `${missing}: there is no such file or run`);
  const known = places.flatMap((place) => {
    const folders = [place, path.dirname(place), path.dirname(path.dirname(place))];
    for (const folder of folders) {
      const config = new RunFolder(folder).readConfig(runSchema);
      if (config !== null) return [{ place, file: path.join(folder, 'config.json'), config }];
    }
    return [];
  });
  const [first] = known;
  if (first === undefined || known.length < places.length)
    throw new TrainerError(
      'BAD_INPUT',
      `${places.find((place) => !known.some((each) => each.place === place))}: belongs to no run; name the configuration that trained it with --config`,
    );
  for (const { place, config } of known) {
    const [change] = changedFields(decisive(first.config), decisive(config));
    if (change !== undefined)
      throw new TrainerError(
        'BAD_INPUT',
        `${first.place} and ${place}: are routes of different configurations, ${change}; give those of one`,
      );
  }
  return first.file;
}

/** Returns the fields on which routes and their cost depend. */
function decisive({ model, moe, data: { domains, weights }, train: { globalBatch } }: RunConfig): object {
  return { model, moe: { ...moe, placement: null }, data: { domains, weights }, train: { globalBatch } };
}

const mega = (bytes: number) => (bytes / 1e6).toFixed(2);
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

function reportLines({ config }: PlanInput, report: PlaceReport): string[] {
  const { layout, router, recorded, contiguous, random, placed, saved, savedOnOthers, replicas } = report;
  const row = (name: string, each: PlaceReport['random'] | Assessment) => [
    name,
    mega(each.bytesSameNode),
    mega(each.bytesOtherNode),
    percent(each.tiers.sameWorker),
    percent(each.tiers.sameWorker + each.tiers.sameNode),
    `${each.load.toFixed(2)} (${each.mostLoad.toFixed(2)})`,
    each.stepMs.toFixed(1),
  ];
  const share = (part: number, whole: number) => (whole === 0 ? '' : ` (${percent(part / whole)})`);
  return [
    `${formatCount(recorded.numSequences)} sequences of ${formatCount(recorded.numSteps)} steps, router ${router}, placed on ${layout.nodes} x ${layout.workersPerNode} ranks`,
    `assumed: ${report.assumption}`,
    formatTable([
      ['experts', 'in node, MB', 'between nodes, MB', 'on the rank', 'on the node', 'load', 'step, ms'],
      row('contiguous', contiguous),
      row(`random, ${random.draws} draws`, random),
      row('placed', placed),
    ]),
    'bytes of a step; load of the fullest rank over the mean, over the layers (and in the most uneven one); step as planned',
    `placing saves ${mega(saved.bytesOtherNode)} MB${share(saved.bytesOtherNode, contiguous.bytesOtherNode)} between nodes, ${mega(saved.bytesSameNode)} MB in nodes, ${saved.stepMs.toFixed(1)} ms${share(saved.stepMs, contiguous.stepMs)} of a step`,
    savedOnOthers === null
      ? 'too few recorded sequences to tell how much of it is overfitting'
      : `cross-validated on the other half of the sequences: ${mega(savedOnOthers.bytesOtherNode)} MB between nodes`,
    `rows cost ${report.costMs.toFixed(3)} ms; no placement with a load of at most ${report.limit.toFixed(2)} costs less than ${report.boundMs.toFixed(3)} ms: a gap of ${percent(report.gap)}`,
    replicas.copies === 0
      ? 'copies of experts on other nodes would save nothing: their gradients cost more than their rows'
      : `copies of experts on other nodes, which training has not: ${formatCount(replicas.copies)} of ${formatCount(replicas.ofCopies)} would save ${mega(replicas.savedBytes)} MB more between nodes`,
    ...(config.cluster.deduplicate
      ? ['cluster.deduplicate is on, which sends less between nodes than is counted here']
      : []),
  ];
}
