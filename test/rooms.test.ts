import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

it('architecture.md lists the rooms of src in the order that is checked', async () => {
  const page = readFileSync(new URL('../docs/architecture.md', import.meta.url), 'utf8');
  const [, tree] = /^src\/ .*\n((?: {2}.*\n)+)/m.exec(page) ?? [];
  let outer = '';
  const listed = tree.split('\n').flatMap((line) => {
    const rooms = [...line.slice(0, 18).matchAll(/([a-z]+)\//g)].map(([, room]) => room);
    // A room inside another is indented below it.
    if (line.startsWith('    ')) return rooms.map((room) => `${outer}/${room}`);
    outer = `src/${rooms[0]}`;
    return rooms.map((room) => `src/${room}`);
  });
  const { FLOORS }: { FLOORS: string[][] } = await import(new URL('../rooms.mjs', import.meta.url).href);
  expect([...listed, 'src/*.ts']).toEqual(FLOORS.flat().filter((room) => room.startsWith('src/')));
});
