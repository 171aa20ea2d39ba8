import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import { MAX_CHOICES, parseRoutesFileName, type RouteRow, readRoutes } from '@locmoe/run-format/routes-file';
import { TrainerError } from '../../errors.js';
import { formatCount } from '../../format.js';

export interface RoutePlaces {
  /** Parquet files, or folders of runs. */
  readonly places: readonly string[];
  /** First step. */
  readonly from: number;
  /** Last step. */
  readonly to?: number;
}

/**
 * Reads the recorded routes of some steps.
 *
 * @throws TrainerError as `routesByFile`, and `BAD_INPUT` if there are too many rows
 */
export async function readPlaces(options: RoutePlaces): Promise<RouteRow[]> {
  const rows: RouteRow[] = [];
  for await (const ofFile of routesByFile(options)) {
    for (const row of ofFile) rows.push(row);
    if (rows.length > MAX_CHOICES)
      throw new TrainerError(
        'BAD_INPUT',
        `${options.places.join(' ')}: more than ${formatCount(MAX_CHOICES)} choices; give fewer steps with --from and --to`,
      );
  }
  return rows;
}

/**
 * Reads the recorded routes of some steps, the rows of one file at a time.
 *
 * @throws TrainerError `BAD_INPUT` if a place has no routes, a file is damaged, two files have the same step
 *   of the same rank and domain, or there are no rows
 */
export async function* routesByFile({ places, from, to }: RoutePlaces): AsyncGenerator<RouteRow[]> {
  const files = routeFiles(places);
  const fileOf = new Map<string, number>();
  for (const [index, file] of files.entries()) {
    const rows: RouteRow[] = [];
    for (const row of await readRoutes(file)) {
      if (row.step < from || row.step > (to ?? Number.POSITIVE_INFINITY)) continue;
      const part = `step ${row.step} of rank ${row.rank}, domain ${row.domain}`;
      const other = fileOf.get(part) ?? index;
      if (other !== index)
        throw new TrainerError(
          'BAD_INPUT',
          `${file}: has ${part}, as ${files[other]} has; give the files of one run, each once`,
        );
      fileOf.set(part, index);
      rows.push(row);
    }
    if (rows.length > 0) yield rows;
  }
  if (fileOf.size === 0)
    throw new TrainerError(
      'BAD_INPUT',
      `${places.join(' ')}: no routes of steps ${from} to ${to ?? 'the last'}`,
    );
}

/** Lists the Parquet files of all places; throws `BAD_INPUT` if a place has none. */
export function routeFiles(places: readonly string[]): string[] {
  return places.flatMap(filesIn);
}

/** Returns the file, or all files of a run. */
function filesIn(place: string): string[] {
  const stats = statSync(place, { throwIfNoEntry: false });
  if (stats === undefined) throw new TrainerError('BAD_INPUT', `${place}: there is no such file or run`);
  if (!stats.isDirectory()) return [place];
  const { routes } = new RunFolder(place);
  const folder = statSync(routes, { throwIfNoEntry: false })?.isDirectory() ? routes : place;
  const files = readdirSync(folder).filter((name) => parseRoutesFileName(name) !== null);
  if (files.length === 0)
    throw new TrainerError('BAD_INPUT', `${place}: has no routes; train with train.recordRoutes.every=50`);
  return files.sort().map((name) => path.join(folder, name));
}
