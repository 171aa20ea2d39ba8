import { loadConfig } from 'locmoe/internal/config/resolve';
import { EXIT } from 'locmoe/internal/errors';
import { formatTable } from 'locmoe/internal/format';
import { type BenchFolders, machine, makeBenchFolders, writeFigures } from '../folders.js';
import { keptRun } from '../kept-run.js';
import { spreadOf, withSpread } from '../statistics.js';
import { type RunFigures, readRunFigures } from './run-figures.js';

export interface BenchRoutersOptions extends BenchFolders {
  readonly config: string;
  readonly set: readonly string[];
  /** Values of `moe.router`. */
  readonly routers: readonly string[];
  /** Number of runs of each router, with seeds 1, 2, ... */
  readonly seeds: number;
  /** Training steps; those of the recipe if undefined. */
  readonly steps?: number;
  readonly dataDir: string;
}

interface RouterRun {
  readonly router: string;
  readonly seed: number;
  readonly figures: RunFigures;
}

/**
 * `locmoe bench routers`: trains a configuration with each router, from the same weights on the same data,
 * prints loss, time, traffic and balance side by side and writes `routers.json`. Finished runs are kept in
 * the work folder.
 *
 * @returns the exit code of the command
 * @throws TrainerError `BAD_CONFIG` before anything runs, `INTERNAL` if a run failed, `INTERRUPTED`
 */
export async function benchRouters(options: BenchRoutersOptions): Promise<number> {
  const { routers, seeds, out } = options;
  // Seed by seed, so that a temporary slowdown affects all routers alike.
  const planned = Array.from({ length: seeds }, (_, i) => i + 1).flatMap((seed) =>
    routers.map((router) => ({ router, seed, sets: settingsOf(options, router, seed) })),
  );
  for (const { sets } of planned) loadConfig(options.config, { sets });
  makeBenchFolders(options);
  const runs: RouterRun[] = [];
  for (const { router, seed, sets } of planned) {
    const figures = await keptRun({ ...options, name: `${router}-seed${seed}`, sets }, ({ metrics }) =>
      readRunFigures(metrics),
    );
    runs.push({ router, seed, figures });
    const { perplexity, stepMs } = figures;
    console.log(
      `[${runs.length}/${planned.length}] ${router}, seed ${seed}: perplexity ${perplexity.toFixed(1)}, step ${stepMs.median.toFixed(0)} ms`,
    );
  }
  console.log(`\n${machine()}; medians of the seeds, in brackets the least and the greatest\n${table(runs)}`);
  writeFigures(out, 'routers.json', { machine: machine(), config: options.config, runs });
  return EXIT.done;
}

function settingsOf({ set, steps }: BenchRoutersOptions, router: string, seed: number): string[] {
  const length = steps === undefined ? [] : [`train.steps=${steps}`, `train.validateEvery=${steps}`];
  return [...set, ...length, `moe.router=${router}`, `seed=${seed}`];
}

const COLUMNS: readonly (readonly [name: string, of: (figures: RunFigures) => number, digits: number])[] = [
  ['loss', ({ perplexity }) => Math.log(perplexity), 3],
  ['perplexity', ({ perplexity }) => perplexity, 1],
  ['step, ms', ({ stepMs }) => stepMs.median, 0],
  ['all-to-all, %', ({ allToAllShare }) => 100 * allToAllShare, 1],
  ['to other nodes, MB', ({ bytesOtherNode }) => bytesOtherNode / 1e6, 2],
  ['stayed on node, %', ({ localShare }) => 100 * localShare, 1],
  ['tokens per expert', ({ tokensPerExpert }) => tokensPerExpert, 0],
  ['dropped, %', ({ overCapacityShare, notChosenShare }) => 100 * (overCapacityShare + notChosenShare), 1],
  ['busiest expert / mean', imbalanceOf, 2],
  ['experts used', ({ expertsUsed }) => expertsUsed, 0],
];

function table(runs: readonly RouterRun[]): string {
  return formatTable([
    ['router', ...COLUMNS.map(([name]) => name)],
    ...[...new Set(runs.map(({ router }) => router))].map((router) => [
      router,
      ...COLUMNS.map(([, of, digits]) => {
        const values = runs.filter((run) => run.router === router).map(({ figures }) => of(figures));
        return withSpread(spreadOf(values), (value) => value.toFixed(digits));
      }),
    ]),
  ]);
}

/** Divides the kept choices of the busiest expert by those of the mean expert; the maximum over the layers. */
function imbalanceOf({ loadByLayer }: RunFigures): number {
  return Math.max(
    ...loadByLayer.map(
      (loads) => (Math.max(...loads) * loads.length) / loads.reduce((sum, load) => sum + load, 0),
    ),
  );
}
