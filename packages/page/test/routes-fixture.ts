import { mkdirSync } from 'node:fs';
import path from 'node:path';
import {
  emptyRouteTable,
  type RouteRow,
  RoutesWriter,
  type RouteTable,
  routesFileName,
} from '@locmoe/run-format/routes-file';

/** A kept choice of a token on rank 0 that stays there. */
const CHOICE: RouteRow = {
  step: 2,
  rank: 0,
  node: 0,
  layer: 1,
  sequence: 0,
  domain: 'en',
  document: 0,
  position: 0,
  token: 7,
  choice: 0,
  expert: 0,
  expertRank: 0,
  expertNode: 0,
  gate: 0.5,
  bias: null,
  preference: 0.25,
  score: 0.75,
  margin: 0.125,
  gateExpert: 0,
  entropy: 0.5,
  logSum: 1,
  weight: 0.75,
  outcome: 'kept',
  link: 'rank',
  bytes: 0,
};

export function tableOf(rows: readonly Partial<RouteRow>[]): RouteTable {
  const table = emptyRouteTable();
  for (const row of rows)
    for (const [name, value] of Object.entries({ ...CHOICE, ...row }))
      (table as unknown as Record<string, unknown[]>)[name]?.push(value);
  return table;
}

/** Writes the file of a step and a rank in a run's folder; returns its path. */
export function writeRoutes(
  folder: string,
  { step, rank }: Pick<RouteRow, 'step' | 'rank'>,
  rows: readonly Partial<RouteRow>[],
  kind: 'routes' | 'probe' = 'routes',
): string {
  mkdirSync(path.join(folder, kind), { recursive: true });
  const file = path.join(folder, kind, routesFileName(step, rank));
  const writer = new RoutesWriter(file, 4);
  writer.write(tableOf(rows.map((row) => ({ step, rank, ...row }))));
  writer.close();
  return file;
}
