import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TrainerError } from 'locmoe/internal/errors';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { benchDoors } from '../../src/doors/bench.js';
import type { Part } from '../../src/doors/part.js';

let out: string;
beforeEach(() => {
  out = mkdtempSync(path.join(tmpdir(), 'locmoe-doors-'));
});
afterEach(() => rmSync(out, { recursive: true }));

const failing: Part = () => Promise.reject(new TrainerError('NO_RESOURCE', 'no browser'));
const part =
  (figures: Parameters<typeof resultOf>[0]): (() => Promise<Part>) =>
  async () =>
  async () =>
    resultOf(figures);
const resultOf = (figures: Awaited<ReturnType<Part>>['figures']) => ({ figures, notes: 'Two threads.' });

const bench = (parts: Parameters<typeof benchDoors>[1], only: readonly string[] = []) =>
  benchDoors({ only, quick: true, out, workDir: path.join(out, 'work'), dataDir: out }, parts);
const json = () => JSON.parse(readFileSync(path.join(out, 'doors.json'), 'utf8'));

it('keeps the figures of the other parts, of one that fails too, and what people wrote', async () => {
  const parts = {
    web: async () => failing,
    prepare: part({ prepareMBPerS: 12.34567, preparePeakMemoryMB: 500 }),
  };
  expect(await bench(parts)).toBe(3);
  expect(json()).toMatchObject({ prepareMBPerS: 12.35, webTokensPerS: null, packageInstallS: null });

  const markdown = path.join(out, 'doors.md');
  const written = readFileSync(markdown, 'utf8');
  expect(written).toContain('| text prepared, MB/s | 12.35 | `locmoe bench doors --only prepare --quick` |');
  expect(written).not.toMatch(/null|undefined|tokens\/s/);
  writeFileSync(markdown, written.replace('_Nothing written yet._', 'Bound by the disk.'));

  expect(await bench({ ...parts, web: part({ webTokensPerS: 40 }) }, ['web'])).toBe(0);
  expect(json()).toMatchObject({
    prepareMBPerS: 12.35,
    webTokensPerS: 40,
    commands: { webTokensPerS: 'locmoe bench doors --only web --quick' },
    notes: { prepare: 'Two threads.', web: 'Two threads.' },
  });
  expect(readFileSync(markdown, 'utf8')).toContain('Bound by the disk.');
});

it('refuses an unknown part before it measures', async () => {
  await expect(bench({ prepare: part({}) }, ['prepare', 'wbe'])).rejects.toThrow(
    '--only wbe: no such part; parts are prepare',
  );
  expect(existsSync(path.join(out, 'doors.json'))).toBe(false);
});

it('refuses a place for the report that cannot be made before it measures', async () => {
  const measured = part({ prepareMBPerS: 10 });
  const options = { only: [], quick: true, workDir: path.join(out, 'work'), dataDir: out };
  const taken = path.join(out, 'taken');
  writeFileSync(taken, '');
  let asked = 0;
  const parts = { prepare: () => measured().finally(() => asked++) };
  await expect(benchDoors({ ...options, out: path.join(taken, 'x') }, parts)).rejects.toThrow(
    `--out ${taken}/x: ${taken} is not a folder`,
  );
  expect(asked).toBe(0);
});

it('drops the figures of another machine', async () => {
  expect(await bench({ prepare: part({ prepareMBPerS: 10 }) })).toBe(0);
  writeFileSync(path.join(out, 'doors.json'), JSON.stringify({ ...json(), machine: 'another' }));
  expect(await bench({ web: part({ webTokensPerS: 40 }) })).toBe(0);
  expect(json()).toMatchObject({ prepareMBPerS: null, webTokensPerS: 40 });
});
