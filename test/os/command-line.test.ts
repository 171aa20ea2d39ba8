import path from 'node:path';
import { expect, it } from 'vitest';
import { fromHere, locmoeCommand } from '../../src/os/command-line.js';

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
