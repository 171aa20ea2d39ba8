import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import { expect, it } from 'vitest';
import type { Figures } from '../inheritance/report.js';
import { pageOf, temporaryFolder } from './support.js';

/** From `from` on a loss of `loss`, which falls by 0.01 a step. */
const curve = (from: number, to: number, loss: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => ({ step: from + i, loss: loss - i / 100 }));

const figures: Figures = {
  recipe: 'tiny',
  model: {
    numDenseLayers: 2,
    numSparseLayers: 2,
    router: 'hash',
    numExperts: 8,
    expertGroups: 4,
    deviceGroups: 2,
    choicesPerDeviceGroup: 3,
  },
  results: [0, 0.1, 0.3].map((more, i) => ({
    seed: i + 1,
    dense: curve(1, 16, 5 + more),
    inherited: curve(0, 8, 4 + more),
    scratch: curve(1, 16, 6),
  })),
  // That of the dense model of seed 1 is 4.93.
  starts: [
    { router: 'switch', loss: 5.43 },
    { router: 'hash', loss: 4.9299 },
    { router: 'moge', loss: 5 },
    { router: 'expert-choice', loss: 4.93 },
    { router: 'deepseek', loss: 5.2 },
  ],
  denseSteps: 8,
  steps: 8,
  every: 1,
  tokensPerStep: 1000,
};

it('both views pair the runs by seed, and the second counts the tokens of the dense training', async () => {
  const folder = temporaryFolder();
  const lines = (await pageOf('inheritance', figures, folder)).split('\n');
  const rows = lines.filter((line) => /^\| [\d,]+ \|/.test(line));
  expect(rows).toEqual([
    '| 0 | 4.100 (4.000 to 4.300) |  |  |',
    '| 2,000 | 4.080 (3.980 to 4.280) | 5.990 | -1.910 (-2.010 to -1.710) |',
    '| 4,000 | 4.060 (3.960 to 4.260) | 5.970 | -1.910 (-2.010 to -1.710) |',
    '| 8,000 | 4.020 (3.920 to 4.220) | 5.930 | -1.910 (-2.010 to -1.710) |',
    '| 8,000 | 4.100 (4.000 to 4.300) | 5.930 | -1.830 (-1.930 to -1.630) | 5.030 (4.930 to 5.230) |',
    '| 10,000 | 4.080 (3.980 to 4.280) | 5.910 | -1.830 (-1.930 to -1.630) | 5.010 (4.910 to 5.210) |',
    '| 12,000 | 4.060 (3.960 to 4.260) | 5.890 | -1.830 (-1.930 to -1.630) | 4.990 (4.890 to 5.190) |',
    '| 16,000 | 4.020 (3.920 to 4.220) | 5.850 | -1.830 (-1.930 to -1.630) | 4.950 (4.850 to 5.150) |',
  ]);
  const summary = lines.findIndex((line) => line.startsWith('- '));
  expect(lines.slice(summary, summary + 3)).toEqual([
    '- Where a dense model is at hand, the model that inherits is after 8,000 tokens **1.910 nats below** the one from scratch.',
    '- Where the dense model is trained for it, it is after 16,000 tokens in all **1.830 nats below** the one from scratch,',
    '  and 0.930 nats below the dense model that trains on.',
  ]);
  expect(lines).toContain('| switch | 5.430 | 0.500 |');
  expect(lines).toContain('| hash | 4.930 | 0.000 |');
  const begins = lines.slice(lines.indexOf('## Before the first step')).join('\n');
  for (const router of ROUTER_NAMES) expect(begins).toContain(`with \`${router}\``);
  expect(readdirSync(folder).sort()).toEqual([
    'inheritance-all-tokens.svg',
    'inheritance-since-start.svg',
    'inheritance.json',
    'inheritance.md',
  ]);
  const svg = readFileSync(path.join(folder, 'inheritance-all-tokens.svg'), 'utf8');
  expect(svg).toContain('The same with the 8,000 tokens of the dense training counted');
});

it('leaves out what was not measured: other routers before their first step', async () => {
  const { starts, ...others } = figures;
  expect(await pageOf('inheritance', figures)).toContain(
    'of the 2 in a group, with `switch` and with `locmoe`, and of 6 of them with `moge`.',
  );
  const withoutMoge = { ...others, starts: starts.filter(({ router }) => router !== 'moge') };
  expect(await pageOf('inheritance', withoutMoge)).toContain('with `switch` and with `locmoe`.\n');
  expect(await pageOf('inheritance', { ...others, starts: [] })).not.toMatch(
    /Before the first step|undefined/,
  );
});
