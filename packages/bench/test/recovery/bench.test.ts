import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TrainerError } from 'locmoe/internal/errors';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { benchRecovery } from '../../src/recovery/bench.js';
import type { Part, PartResult } from '../../src/recovery/part.js';

let out: string;
beforeEach(() => {
  out = mkdtempSync(path.join(tmpdir(), 'locmoe-recovery-'));
});
afterEach(() => rmSync(out, { recursive: true }));

const part = (result: Omit<PartResult, 'notes'>) => async (): Promise<Part> => async () => ({
  ...result,
  notes: 'Two nodes.',
});
const failing = async (): Promise<Part> => () => Promise.reject(new TrainerError('INTERNAL', 'no run'));
const outage = (recoveredS: number, detectedS: number | null = 0.1) => ({
  detectedS,
  recoveredS,
  lostSteps: 2,
});

const bench = (parts: Parameters<typeof benchRecovery>[1], only: readonly string[] = []) =>
  benchRecovery({ only, quick: true, seed: 1, out, workDir: path.join(out, 'work'), dataDir: out }, parts);
const read = (name: string) => readFileSync(path.join(out, name), 'utf8');

it('gives the median of each fault, the distribution beside it, and keeps what was measured before', async () => {
  const outages = [outage(1), outage(2.005), outage(9)];
  const parts = {
    'worker-kill': part({ fault: { outages, violations: [] } }),
    'slow-link': part({ fault: { outages: [outage(0.5, null)], violations: [] } }),
    fuzz: failing,
  };
  expect(await bench(parts)).toBe(3);
  expect(JSON.parse(read('recovery.json'))).toEqual({
    faults: {
      'worker-kill': { runs: 3, detectedS: 0.1, recoveredS: 2.01, lostSteps: 2, violations: 0 },
      'slow-link': { runs: 1, detectedS: null, recoveredS: 0.5, lostSteps: 2, violations: 0 },
    },
    soak: null,
    fuzz: null,
    costOfFaultFree: null,
    machine: expect.stringMatching(/ x /),
    command: 'npm run bench:recovery',
  });
  expect(read('recovery.md')).toContain(
    '| `worker-kill` | 3 | 0.10 / 0.10 / 0.10 | 2.00 / 7.60 / 9.00 | 2 / 2 / 2 | 0 |',
  );
  writeFileSync(
    path.join(out, 'recovery.md'),
    read('recovery.md').replace('_Nothing written yet._', 'Bound by loading TensorFlow.'),
  );

  const soak = { minutes: 3, faults: 15, lossDifference: 0, effectiveShare: 0.8 };
  expect(await bench({ soak: part({ soak: { ...soak, violations: ['I3: gone'] } }) })).toBe(3);
  expect(JSON.parse(read('recovery.json'))).toMatchObject({
    faults: { 'worker-kill': { runs: 3 } },
    soak: { ...soak, violations: 1 },
  });
  expect(read('recovery.md')).toContain('Bound by loading TensorFlow.');
  expect(read('recovery.md')).toContain('2.00 / 7.60 / 9.00');

  const fuzz = { messages: 5, files: 6, failures: [] };
  expect(await bench({ fuzz: part({ fuzz }), cost: part({ costOfFaultFree: 0.004 }) })).toBe(0);
  expect(JSON.parse(read('recovery.json'))).toMatchObject({
    fuzz: { messages: 5, files: 6, failures: 0 },
    costOfFaultFree: 0.004,
  });
});

it('refuses an unknown part before it measures', async () => {
  await expect(bench({ soak: failing }, ['soak', 'soka'])).rejects.toThrow(
    '--only soka: no such part; parts',
  );
  expect(existsSync(path.join(out, 'recovery.json'))).toBe(false);
});
