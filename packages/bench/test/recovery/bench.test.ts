import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { RECOVERY_SPANS } from '@locmoe/run-format';
import { TrainerError } from 'locmoe/internal/errors';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { benchRecovery } from '../../src/recovery/bench.js';
import type { Outage, Part, PartResult } from '../../src/recovery/part.js';

let out: string;
let said: string[];
beforeEach(() => {
  said = [];
  const log = vi.spyOn(console, 'log').mockImplementation((line) => void said.push(...line.split('\n')));
  onTestFinished(() => log.mockRestore());
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
const figures = () => JSON.parse(readFileSync(path.join(out, 'recovery.json'), 'utf8'));

it('gives the median of each fault, the distribution beside it, and keeps what was measured before', async () => {
  const spansOf = (modules: number) => ({
    ...(Object.fromEntries(RECOVERY_SPANS.map((span) => [span, 0])) as NonNullable<Outage['spansS']>),
    modules,
    again: 1,
  });
  const outages = [1, 2.005, 9].map((seconds) => ({ ...outage(seconds), spansS: spansOf(seconds) }));
  const parts = {
    'worker-kill': part({ fault: { outages, violations: [] } }),
    'slow-link': part({ fault: { outages: [outage(0.5, null)], violations: [] } }),
    cost: failing,
  };
  expect(await bench(parts)).toBe(3);
  expect(figures()).toEqual({
    faults: {
      'worker-kill': { runs: 3, detectedS: 0.1, recoveredS: 2.01, lostSteps: 2, violations: 0 },
      'slow-link': { runs: 1, detectedS: null, recoveredS: 0.5, lostSteps: 2, violations: 0 },
    },
    soak: null,
    fuzz: null,
    costOfFaultFree: null,
    outages: { 'worker-kill': outages, 'slow-link': [outage(0.5, null)] },
    notes: { 'worker-kill': 'Two nodes.', 'slow-link': 'Two nodes.' },
    machine: expect.stringMatching(/ x /),
  });
  const row = /^ {2}worker-kill +3 +0\.10 \/ 0\.10 \/ 0\.10 +2\.00 \/ 7\.60 \/ 9\.00 +2 \/ 2 \/ 2 +0$/m;
  expect(said.join('\n')).toMatch(row);
  expect(said.join('\n')).toMatch(/^ {2}of the slowest rank, s +worker-kill\n +detection +0\.00\n/m);
  expect(said.join('\n')).toMatch(/^ +modules +2\.00$[\s\S]*^ +in all +3\.00$/m);

  const soak = { minutes: 3, faults: 15, lossDifference: 0, effectiveShare: 0.8 };
  said = [];
  expect(await bench({ soak: part({ soak: { ...soak, violations: ['I3: gone'] } }) })).toBe(3);
  expect(figures()).toMatchObject({
    faults: { 'worker-kill': { runs: 3 } },
    soak: { ...soak, violations: 1 },
  });
  expect(said.join('\n')).toMatch(row);
  expect(said).toContain(
    'soak: 3 min, 15 faults: 1 invariants broken, final loss 0 from that without faults, 80.0 % of the time on steps that counted',
  );

  expect(await bench({ cost: part({ costOfFaultFree: 0.004 }) })).toBe(0);
  expect(figures()).toMatchObject({ soak: { minutes: 3 }, costOfFaultFree: 0.004 });
});

it('takes no figures of another machine, and refuses a file that holds something else', async () => {
  const cost = part({ costOfFaultFree: 0.004 });
  await bench({ cost });
  const file = path.join(out, 'recovery.json');
  writeFileSync(file, JSON.stringify({ ...figures(), machine: 'another', costOfFaultFree: 1 }));
  await bench({ soak: failing });
  await bench({
    soak: part({ soak: { minutes: 3, faults: 1, lossDifference: 0, effectiveShare: 1, violations: [] } }),
  });
  expect(figures()).toMatchObject({ costOfFaultFree: null, soak: { faults: 1 } });
  writeFileSync(file, '{"faults":3}');
  await expect(bench({ cost })).rejects.toThrow(`${file}: no figures of bench recovery; remove it`);
});

it('refuses an unknown part before it measures', async () => {
  await expect(bench({ soak: failing }, ['soak', 'soka'])).rejects.toThrow(
    '--only soka: no such part; parts',
  );
  expect(existsSync(path.join(out, 'recovery.json'))).toBe(false);
});
