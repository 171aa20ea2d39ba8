import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const DIST = path.resolve(import.meta.dirname, '../../dist');

// Loading TensorFlow takes half a second and 100 MB, so commands that need it import it when they are called.
it.each(['cli', 'coordinator'])('no file of %s loads TensorFlow when it is imported', (room) => {
  const files = readdirSync(path.join(DIST, room), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.js') && file !== 'cli.js')
    .map((file) => path.join(DIST, room, file));
  expect(files).not.toHaveLength(0);
  const program = `
    import { Module } from 'node:module';
    const loaded = () => Object.keys(Module._cache).some((file) => file.includes('@tensorflow'));
    for (const file of ${JSON.stringify(files)}) {
      await import(file);
      if (loaded()) {
        console.log(file);
        break;
      }
    }
  `;
  const args = ['--input-type=module', '--eval', program];
  expect(execFileSync(process.execPath, args, { encoding: 'utf8' })).toBe('');
});

it('a configuration is checked, and its memory counted, without TensorFlow', () => {
  const program = `
    import { Module } from 'node:module';
    const { loadConfig } = await import('${DIST}/config/resolve.js');
    const { leastRankMemory } = await import('${DIST}/model/rank-memory.js');
    leastRankMemory(loadConfig('tiny'));
    console.log(Object.keys(Module._cache).filter((file) => file.includes('@tensorflow')).length);
  `;
  const args = ['--input-type=module', '--eval', program];
  expect(execFileSync(process.execPath, args, { encoding: 'utf8' })).toBe('0\n');
});
