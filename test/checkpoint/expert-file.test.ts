import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { NO_SMALL_DISK, smallDisk } from '../../packages/logs/test/small-disk.js';
import { ExpertFile } from '../../src/checkpoint/expert-file.js';
import { readFloats } from '../../src/checkpoint/floats.js';

const SIZE = 10;

function newFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-expert-file-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function open(folder: string, numExperts = 3, expertSize = SIZE): ExpertFile {
  const file = new ExpertFile({ path: path.join(folder, 'experts.tmp'), numExperts, expertSize });
  onTestFinished(() => file.close());
  return file;
}

const arrays = (first: number) => [0, 1, 2].map((i) => new Float32Array(SIZE).fill(first + i));

function contentOf(file: ExpertFile, expert: number): Float32Array[] {
  const into = arrays(-1);
  file.read(expert, into);
  return into;
}

it('gives what was written last, zeros before', () => {
  const file = open(newFolder());
  file.write(1, arrays(5));
  file.write(2, arrays(8));
  file.write(1, arrays(6));
  file.willRead([0, 1, 2]);
  expect([0, 1, 2].map((expert) => contentOf(file, expert))).toEqual([
    [0, 0, 0].map(() => new Float32Array(SIZE)),
    arrays(6),
    arrays(8),
  ]);
});

it('keeps what is held for those who read it later, whatever is written meanwhile', () => {
  const file = open(newFolder());
  const all = { begin: 0, end: SIZE };
  for (const round of [1, 2, 3]) {
    file.write(0, arrays(10 * round));
    file.write(1, arrays(20 * round));
    file.hold();
    const held = [0, 1, 2].map((array) => file.floatsOf(0, array, all));
    const part = file.floatsOf(1, 2, { begin: 3, end: 5 });
    for (const later of [100, 200]) file.write(0, arrays(later + round));
    expect(held.map((floats) => readFloats(floats))).toEqual(arrays(10 * round));
    expect(readFloats(part)).toEqual(Float32Array.of(20 * round + 2, 20 * round + 2));
    expect(contentOf(file, 0)).toEqual(arrays(200 + round));
    file.release();
    expect(contentOf(file, 0)).toEqual(arrays(200 + round));
  }
});

it('has no name while it is used, and takes the place of one that was left', () => {
  const folder = newFolder();
  writeFileSync(path.join(folder, 'experts.tmp'), 'what a process left that was killed at once');
  const file = open(folder);
  expect(readdirSync(folder)).toEqual([]);
  expect(contentOf(file, 0)[0]).toEqual(new Float32Array(SIZE));
});

it('says in one line that there is no room, or no folder', (context) => {
  expect(() => open(newFolder(), 3, 1e12)).toThrow(
    expect.objectContaining({
      code: 'DISK_FULL',
      message: expect.stringMatching(
        /^the file of the experts \(moe\.expertStorage\) needs \d+ MB in .*, and \d+ MB are free$/,
      ),
    }),
  );
  expect(() => open('/proc/none')).toThrow(/ENOENT/);
  const disk = smallDisk(1 << 20);
  if (disk === null) return context.skip(NO_SMALL_DISK);
  const file = open(disk, 4_000);
  expect(() => writeFileSync(path.join(disk, 'other'), Buffer.alloc(1 << 20))).toThrow(/ENOSPC/);
  // The file's space is reserved when it is created.
  for (let expert = 0; expert < 4_000; expert++) file.write(expert, arrays(expert));
  expect(contentOf(file, 3_999)).toEqual(arrays(3_999));
});
