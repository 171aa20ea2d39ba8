import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SRC = path.join(ROOT, 'src');
/** What stands in no room: below all of them. */
const GROUND = Number.POSITIVE_INFINITY;

/** Rooms of src/ as the README lists them, from top to bottom. */
function roomsOfReadme(): string[] {
  const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  const [, tree] = /^src\/ .*\n((?: {2}.*\n)+)/m.exec(readme) ?? [];
  return tree
    .split('\n')
    .flatMap((line) => [...line.slice(0, 18).matchAll(/([a-z]+)\//g)].map(([, room]) => room));
}

const rooms = roomsOfReadme();
const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));

function floorOf(file: string): number {
  const [room, inside] = file.split(path.sep);
  return inside === undefined ? GROUND : rooms.indexOf(room);
}

it('the README lists every room of src', () => {
  const found = readdirSync(SRC, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect([...rooms].sort()).toEqual(found.map(({ name }) => name).sort());
});

it('no file imports from a room above its own', () => {
  const upwards = files.flatMap((file) =>
    [...readFileSync(path.join(SRC, file), 'utf8').matchAll(/(?:from |import |import\()'(\.[^']+)'/g)]
      .map(([, target]) => path.join(path.dirname(file), target))
      .filter((target) => floorOf(target) < floorOf(file))
      .map((target) => `${file} imports ${target}`),
  );
  expect(upwards).toEqual([]);
});
