import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { tryLock } from 'locmoe/internal/os/libc';
import { expect, it, onTestFinished } from 'vitest';
import { runTraining } from '../src/training.js';

it('a folder in which another process has its run is refused, and not emptied', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-training-'));
  const fd = openSync(folder, 'r');
  onTestFinished(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });
  writeFileSync(path.join(folder, 'output.txt'), 'of the other');
  expect(tryLock(fd)).toBe(0);
  await expect(runTraining({ sets: [], folder, dataDir: 'data' })).rejects.toThrow(
    `${folder} is the folder of a run that another process has begun`,
  );
  expect(readdirSync(folder)).toEqual(['output.txt']);
});
