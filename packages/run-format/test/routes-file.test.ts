import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parquetWriteFile } from 'hyparquet-writer';
import { afterAll, expect, it } from 'vitest';
import {
  emptyRouteTable,
  inspectRoutes,
  ROUTE_COLUMNS,
  type RouteColumn,
  RoutesWriter,
  readRoutes,
} from '../src/routes-file.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-routes-'));
afterAll(() => rmSync(folder, { recursive: true }));
const NAMES = Object.keys(ROUTE_COLUMNS) as RouteColumn[];

/** A table whose values encode their row and column. */
function tableOf(rows: number, first: number) {
  const table = emptyRouteTable();
  for (let row = first; row < first + rows; row++)
    NAMES.forEach((name, column) => {
      const { type } = ROUTE_COLUMNS[name];
      const value = type === 'STRING' ? `${name} ${row % 3}` : 100 * row + column;
      (table[name] as unknown[]).push('nullable' in ROUTE_COLUMNS[name] && row % 2 === 0 ? null : value);
    });
  return table;
}

it('reads back what was written in several parts, in order; nothing else is left', async () => {
  const file = path.join(folder, 'routes.parquet');
  const writer = new RoutesWriter(file, 8);
  const parts = [tableOf(1500, 0), tableOf(3, 1500)];
  for (const part of parts) writer.write(part);
  expect(readdirSync(folder)).toEqual(['routes.parquet.tmp']);
  expect(writer.close()).toBe(readFileSync(file).length);
  expect(readdirSync(folder)).toEqual(['routes.parquet']);
  const rows = await readRoutes(file);
  expect(rows).toHaveLength(1503);
  for (const name of NAMES)
    expect(rows.map((row) => row[name])).toEqual(parts.flatMap((part) => part[name] as unknown[]));
});

it('refuses what is no recording, is cut off, or has another version', async () => {
  const file = path.join(folder, 'other.parquet');
  writeFileSync(file, 'no Parquet');
  await expect(readRoutes(file)).rejects.toThrow(/other\.parquet: is no whole Parquet file \(/);
  parquetWriteFile({ filename: file, columnData: [{ name: 'a', data: [1] }] });
  await expect(readRoutes(file)).rejects.toThrow(/other\.parquet: has no routes that locmoe recorded$/);
  const kvMetadata = [{ key: 'locmoe.routes', value: '2' }];
  parquetWriteFile({ filename: file, columnData: [{ name: 'a', data: [1] }], kvMetadata });
  await expect(readRoutes(file)).rejects.toThrow(
    /other\.parquet: has version 2; this locmoe reads version 1/,
  );
  const whole = path.join(folder, 'routes.parquet');
  for (const bytes of [3000, 12, 0]) {
    truncateSync(whole, bytes);
    await expect(readRoutes(whole)).rejects.toThrow(/routes\.parquet: is no whole Parquet file \(/);
  }
});

it('refuses more choices than fit in memory before it reads them', async () => {
  const file = path.join(folder, 'runs.parquet');
  const filename = file;
  const kvMetadata = [{ key: 'locmoe.routes', value: '1' }];
  const columnData = [{ name: 'step', data: new Int32Array(4_000_001), type: 'INT32' as const }];
  parquetWriteFile({ filename, columnData, kvMetadata, rowGroupSize: 4_000_001 });
  expect(readFileSync(file).length).toBeLessThan(3000);
  for (const read of [readRoutes, inspectRoutes])
    await expect(read(file)).rejects.toThrow(/runs\.parquet: has 4000001 choices; at most 4000000 are read$/);
});

it('reads a footer of more row groups than a call has room for', async () => {
  const file = path.join(folder, 'groups.parquet');
  const kvMetadata = [{ key: 'locmoe.routes', value: '1' }];
  const [one, two] = [1, 2].map((rows) => {
    const columnData = [{ name: 'step', data: new Int32Array(rows), type: 'INT32' as const }];
    parquetWriteFile({ filename: file, columnData, kvMetadata, rowGroupSize: 1 });
    const bytes = readFileSync(file);
    return bytes.subarray(-8 - bytes.readUInt32LE(bytes.length - 8), -8);
  }) as [Buffer, Buffer];
  // In the footer the list of row groups follows the number of rows, 1; it is a list of one structure.
  const list = one.indexOf(Buffer.of(0x16, 0x02, 0x19, 0x1c)) + 3;
  const group = one.subarray(list + 1, list + 1 + two.length - one.length);
  const many = Buffer.of(0xfc, 0xd0, 0xf7, 0x07); // 130,000 structures
  const groups = Array.from({ length: 130_000 }, () => group);
  const footer = Buffer.concat([
    one.subarray(0, list),
    many,
    ...groups,
    one.subarray(list + 1 + group.length),
  ]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(footer.length);
  writeFileSync(file, Buffer.concat([Buffer.from('PAR1'), footer, size, Buffer.from('PAR1')]));
  const { rangeOf } = await inspectRoutes(file);
  expect(rangeOf('step')).toEqual([0, 0]);
});

it('has the columns that docs/routes.md explains', () => {
  const page = readFileSync(new URL('../../../docs/routes.md', import.meta.url), 'utf8');
  const rows = NAMES.map((name) => `| \`${name}\` | ${ROUTE_COLUMNS[name].description} |`);
  expect(page).toContain(rows.join('\n'));
});
