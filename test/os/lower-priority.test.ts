import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runnable } from '../../src/os/start-thread.js';

it('lowers the priority of a process, and leaves one that is lower already', () => {
  const module = runnable(fileURLToPath(new URL('../../src/os/lower-priority.ts', import.meta.url)));
  const program = `
    import { getPriority } from 'node:os';
    const { lowerPriority } = await import(${JSON.stringify(module)});
    for (const niceness of [5, 15]) {
      lowerPriority(niceness);
      console.log(getPriority());
    }`;
  const args = ['-n', '10', process.execPath, '--input-type=module', '--eval', program];
  expect(execFileSync('nice', args, { encoding: 'utf8' })).toBe('10\n15\n');
});
