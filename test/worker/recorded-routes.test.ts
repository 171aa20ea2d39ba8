import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  emptyRouteTable,
  ROUTE_COLUMNS,
  type RouteColumn,
  RoutesWriter,
} from '@locmoe/run-format/routes-file';
import { afterAll, expect, it } from 'vitest';
import { RecordedRoutes } from '../../src/worker/recorded-routes.js';
import { tinyConfig } from '../model/support.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-recorded-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('refuses recorded choices that no layer of the model has, before memory is taken for them', async () => {
  const config = tinyConfig();
  const file = path.join(folder, 'routes.parquet');
  const recorded = new RecordedRoutes(config, new Map([[null, [file]]]));
  const layer = config.model.numDenseLayers;
  for (const [choice, problem] of [
    [
      2 ** 31 - 2,
      /routes.parquet: numbers the choices of a token 2147483646 to 2147483646, .* moe.numExperts, 4, allows 0 to 3$/,
    ],
    [-1, /numbers the choices of a token -1 to -1/],
  ] as const) {
    const writer = new RoutesWriter(file, config.moe.numExperts);
    const table = emptyRouteTable();
    for (const name of Object.keys(table) as RouteColumn[])
      (table[name] as unknown[]).push(ROUTE_COLUMNS[name].type === 'STRING' ? '' : 0);
    writer.write({ ...table, choice: [choice], layer: [layer] });
    writer.close();
    await expect(recorded.choicesOf(1, [])).rejects.toThrow(problem);
  }
});
