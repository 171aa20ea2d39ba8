import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeFolder } from '../../src/os/make-folder.js';

const SOURCE = fileURLToPath(new URL('../../src/os/make-folder.ts', import.meta.url));
/** Arguments that let Node run a TypeScript program. */
const TSX = [
  '--conditions=source',
  '--import',
  fileURLToPath(import.meta.resolve('tsx')),
  '--input-type=module',
  '-e',
];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-make-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('a folder that cannot be made is named with its option', () => {
  const refused = (place: string, message: string) =>
    expect(() => makeFolder(path.join(folder, place), '--runs-dir')).toThrow(
      expect.objectContaining({
        code: 'NO_RESOURCE',
        message: `--runs-dir ${path.join(folder, place)}: ${path.join(folder, 'x')} ${message}`,
      }),
    );

  it.each(['x', 'x/y/z'])('where a file is in the way of %s', (place) => {
    writeFileSync(path.join(folder, 'x'), '');
    refused(place, 'is not a folder');
  });

  it.each(['x', 'x/y/z'])('where a link leads nowhere for %s', (place) => {
    symlinkSync('nowhere', path.join(folder, 'x'));
    refused(place, 'is a link that leads nowhere');
  });

  const inNamespace = ['--map-root-user', '--mount', 'sh', '-c'];
  const canMount = spawnSync('unshare', [...inNamespace, 'mount -t tmpfs -o ro none /mnt']).status === 0;

  it.runIf(canMount)('where the file system is read-only', () => {
    const script = `import { makeFolder } from ${JSON.stringify(SOURCE)};
      for (const place of ['runs', 'a/b/runs'])
        try { makeFolder(place, '--runs-dir'); } catch (error) { console.log(error.code, error.message); }`;
    const run = `mount -t tmpfs -o ro none '${folder}' && cd '${folder}' && exec "$@"`;
    const { stdout, stderr } = spawnSync(
      'unshare',
      [...inNamespace, run, 'sh', process.execPath, ...TSX, script],
      {
        encoding: 'utf8',
      },
    );
    const advice = 'read-only file system; give --data-dir and --runs-dir a place elsewhere';
    expect(stdout.split('\n'), stderr).toEqual([
      `NO_RESOURCE --runs-dir runs: ${advice}`,
      `NO_RESOURCE --runs-dir a/b/runs: ${advice}`,
      '',
    ]);
  });
});

it('a folder is made with all above it, or is there', () => {
  for (const _ of ['first', 'again']) makeFolder(path.join(folder, 'a/b'), '--data-dir');
  expect(existsSync(path.join(folder, 'a/b'))).toBe(true);
});

it('ends where nothing can be made, as under /proc', () => {
  const script = `import { makeFolder } from ${JSON.stringify(SOURCE)}; makeFolder('/proc/x/y/z', '--data-dir');`;
  // Node's own recursive mkdir would never return.
  const { status, stderr } = spawnSync(process.execPath, [...TSX, script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect(status).toBe(1);
  expect(stderr).toContain("--data-dir /proc/x/y/z: ENOENT: no such file or directory, mkdir '/proc/x'");
});
