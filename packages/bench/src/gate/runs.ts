import { type RunFolder, readRecords } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { runSchema } from 'locmoe/internal/config/schema';
import { sha256 } from 'locmoe/internal/sha256';
import { keptRun } from '../kept-run.js';
import { cachesOf, recordingOf } from './caches.js';
import { type Contender, RECIPE, SEEDS } from './entry.js';
import { type Figures, readFigures } from './figures.js';

/** Steps that are compared with those of kept runs, and trained for a first look. */
export const FIRST_STEPS = 20;

/** A run on one rank. */
export interface QualityRun extends Figures {
  readonly precision: string;
  /** Training losses of the first steps, as the run computed them. */
  readonly firstLosses: readonly (number | null)[];
  /** Share of the look-ups that an LRU cache of a quarter of each layer's experts serves within a text. */
  readonly cacheHits: number;
}

/** Where runs are kept, and their texts. */
export interface RunFolders {
  readonly workDir: string;
  readonly dataDir: string;
}

/** Folders, and the first losses of a table here: where they are others, no kept run is taken. */
export interface KeptHere extends RunFolders {
  readonly firstLosses: QualityRun['firstLosses'];
}

/** Trains the first steps of a table, even if they are kept: their losses tell what this machine and program compute. */
export function firstLook(folders: RunFolders, table: Contender): Promise<QualityRun> {
  const run = qualityRunOf(table, SEEDS[0], FIRST_STEPS);
  return keptRun({ ...folders, ...run, name: `${table.label}-first`, isAnew: true }, run.read);
}

/**
 * Trains a contender on one rank.
 *
 * @param steps steps of the run; those of the recipe if undefined
 */
export function qualityRun(
  kept: KeptHere,
  contender: Contender,
  seed: number,
  steps?: number,
): Promise<QualityRun> {
  const run = qualityRunOf(contender, seed, steps);
  return keptRun(
    { ...kept, ...run, name: nameOf(contender.label, `seed${seed}`, [kept, run.sets]) },
    run.read,
  );
}

function qualityRunOf({ sets }: Contender, seed: number, steps?: number) {
  const given = [...sets, ...lengthOf(steps), `seed=${seed}`];
  return {
    config: RECIPE,
    sets: [...given, recordingOf(loadConfig(RECIPE, { sets: given }))],
    read: async (run: RunFolder): Promise<QualityRun> => {
      const { moe, train } = run.readConfig(runSchema)!;
      const losses = readRecords(run.metrics).flatMap((record) =>
        record.type === 'step' ? record.loss : [],
      );
      const { hits } = await cachesOf(run);
      return {
        ...readFigures(run.metrics),
        precision: train.precision,
        firstLosses: losses.slice(0, FIRST_STEPS),
        cacheHits: hits.find(({ held }) => held === Math.floor(moe.numExperts / 4))!.withinText,
      };
    },
  };
}

/**
 * Trains a router and its table on two nodes of one rank, for locality and step time, as `time` of studies/gates.
 * The table follows the router, whose versions have each a run of it: times of different hours cannot be compared.
 */
export async function timedRuns(
  kept: KeptHere,
  entry: Contender,
  table: Contender,
  steps: number,
): Promise<{ readonly own: Figures; readonly table: Figures }> {
  const cluster = ['cluster.nodes=2', 'cluster.workersPerNode=1', 'data.placement=domain'];
  const timed = (kind: string, { sets }: Contender) => {
    const given = [...sets, ...cluster, ...lengthOf(steps), 'train.validationSequences=1'];
    const name = nameOf(entry.label, kind, [kept, entry.sets, given]);
    return keptRun({ ...kept, config: RECIPE, sets: given, name }, ({ metrics }) => readFigures(metrics));
  };
  const own = await timed('time', entry);
  return { own, table: await timed('time-of-table', table) };
}

function lengthOf(steps: number | undefined): string[] {
  if (steps === undefined) return [];
  return ['steps', 'validateEvery', 'checkpointEvery'].map((field) => `train.${field}=${steps}`);
}

/** Returns the name of a run. Versions of a router have different ones, so that going back to one trains nothing again. */
function nameOf(
  label: string,
  kind: string,
  [{ firstLosses }, ...settings]: readonly [KeptHere, ...(readonly string[])[]],
): string {
  return `${label.slice(0, 40)}-${kind}-${sha256(JSON.stringify([firstLosses, settings])).slice(0, 8)}`;
}
