import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { AppendFile } from '../src/append-file.js';
import { NO_SMALL_DISK, smallDisk } from './small-disk.js';

it('a line that a full disk takes in part is taken back', (context) => {
  const disk = smallDisk(32_768);
  if (disk === null) return context.skip(NO_SMALL_DISK);
  const [filler, target] = ['filler', 'lines'].map((name) => path.join(disk, name));
  writeFileSync(filler, Buffer.alloc(32_768 - 4096));
  const file = new AppendFile(target);
  const [kept, lost, next] = ['a', 'b', 'c'].map((letter) => `${letter.repeat(2_500)}\n`);
  file.append(kept);
  expect(() => file.append(lost)).toThrow(/ENOSPC/);
  rmSync(filler);
  file.append(next);
  expect(file.size).toBe(kept.length + next.length);
  file.close();
  expect(readFileSync(target, 'utf8')).toBe(kept + next);
});
