import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { addResult, NO_FIGURES } from '@locmoe/bench/internal/recovery/figures';
import type { Outage } from '@locmoe/bench/internal/recovery/part';
import { RECOVERY_SPANS } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { callStudy, MADE, temporaryFolder } from '../support.js';

async function reportOf(outages: readonly Outage[]): Promise<string> {
  const out = temporaryFolder();
  const figures = addResult(NO_FIGURES, 'node-lost', {
    fault: { outages, violations: [] },
    notes: 'Three nodes.',
  });
  writeFileSync(path.join(out, 'recovery.json'), JSON.stringify({ ...figures, ...MADE }));
  await callStudy('recovery', '--report', '--out', out);
  return readFileSync(path.join(out, 'recovery.md'), 'utf8');
}

it('shows what each fault cost, and where that time went if it was measured', async () => {
  const outage = { detectedS: 0.1, recoveredS: 2, lostSteps: 3 };
  const row = '| `node-lost` | 1 | 0.10 / 0.10 / 0.10 | 2.00 / 2.00 / 2.00 | 3 / 3 / 3 | 0 |';
  const spans = Object.fromEntries(RECOVERY_SPANS.map((span) => [span, 0]));
  const spansS = { ...spans, join: 0.5, again: 1.5 } as NonNullable<Outage['spansS']>;
  const page = await reportOf([{ ...outage, spansS }]);
  expect(page).toContain(row);
  expect(page).toMatch(
    /^\| of the slowest rank, s \| node-lost \|\n\| --- \| ---: \|\n\| detection \| 0\.00 \|\n/m,
  );
  expect(page).toMatch(/^\| join \| 0\.50 \|$[\s\S]*^\| again \| 1\.50 \|\n\| in all \| 2\.00 \|$/m);

  const without = await reportOf([outage]);
  expect(without).toContain(row);
  expect(without).not.toContain('span');
});
