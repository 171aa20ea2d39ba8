import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { processInfo } from 'locmoe/internal/os/process-info';
import { describe, expect, it } from 'vitest';
import {
  DATA_DIR,
  Locmoe,
  locmoe,
  MICRO,
  newestRun,
  temporaryFolder,
  trainArguments,
} from '../../../../test/e2e/support.js';
import { NIGHTLY } from '../../../../test/nightly.js';
import { PROFILE } from './support.js';

/** Runs `locmoe plan` in a folder with a calibration and a configuration. */
function setUp(config = MICRO) {
  const folder = temporaryFolder();
  const calibration = path.join(folder, 'calibration.json');
  writeFileSync(calibration, JSON.stringify(PROFILE));
  const file = path.join(folder, 'micro.yaml');
  writeFileSync(file, config);
  const plan = (...args: string[]) => locmoe('plan', '--config', file, '--calibration', calibration, ...args);
  return { folder, calibration, file, plan };
}

describe('locmoe plan', () => {
  it('tells bytes by tier within 5 %, and memory within 25 %, of a real run of 2 x 2', async () => {
    const config = MICRO.replace('dModel: 32', 'dModel: 128')
      .replace('dFeedForward: 64', 'dFeedForward: 1024')
      .replace('vocabSize: 512', 'vocabSize: 2048')
      .replace('globalBatch: 8', 'globalBatch: 64');
    const { folder, plan } = setUp(config);
    const layout = { folder, nodes: 2, workersPerNode: 2 };
    const run = new Locmoe(trainArguments({ ...layout, sets: ['moe.router=hash', 'train.steps=4'] }));
    let residentBytes = 0;
    const timer = setInterval(() => {
      for (const pid of run.pidsOf('worker'))
        residentBytes = Math.max(residentBytes, processInfo(pid).residentBytes);
    }, 200);
    const { code, stdout, stderr } = await run.finished;
    clearInterval(timer);
    expect(code, stdout + stderr).toBe(0);
    const steps = readFileSync(path.join(newestRun(folder), 'metrics.ndjson'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('"type":"step"'))
      .map((line): { bytesSameNode: number; bytesOtherNode: number } => JSON.parse(line));
    expect(steps).toHaveLength(4);
    const measured = (of: (step: (typeof steps)[number]) => number) =>
      steps.reduce((sum, step) => sum + of(step), 0) / steps.length;

    const nodes = ['--nodes', '2', '--workers-per-node', '2'];
    const planned = await plan(...nodes, '--set', 'moe.router=hash', '--json');
    const { traffic, memory } = JSON.parse(planned.stdout);
    expect(Math.abs(traffic.sameNodeBytes / measured((step) => step.bytesSameNode) - 1)).toBeLessThan(0.05);
    expect(Math.abs(traffic.otherNodeBytes / measured((step) => step.bytesOtherNode) - 1)).toBeLessThan(0.05);
    expect(Math.abs(memory.total / residentBytes - 1), `${memory.total} for ${residentBytes}`).toBeLessThan(
      0.25,
    );
  });
});

describe('locmoe bench plan', () => {
  it.runIf(NIGHTLY)('holds predictions against real runs and reports', async () => {
    const { folder, file, calibration } = setUp();
    const out = path.join(folder, 'report');
    const { code, stdout, stderr } = await locmoe(
      'bench',
      'plan',
      '--quick',
      '--config',
      file,
      '--calibration',
      calibration,
      // A plan cannot predict how many choices this router keeps.
      '--set',
      'moe.router=locmoe-plus',
      '--work-dir',
      path.join(folder, 'work'),
      '--out',
      out,
      '--data-dir',
      DATA_DIR,
    );
    expect(code, stdout + stderr).toBe(0);
    const { checks, machine } = JSON.parse(readFileSync(path.join(out, 'plan.json'), 'utf8'));
    expect(checks.map(({ layout }: { layout: string }) => layout)).toEqual([
      '1x1',
      '1x2',
      '2x1',
      '2x2',
      '4x1',
    ]);
    for (const { error, predictedBytesOtherNode, measuredBytesOtherNode } of checks) {
      expect(error).toBeGreaterThan(-1);
      if (measuredBytesOtherNode > 0)
        expect(Math.abs(predictedBytesOtherNode / measuredBytesOtherNode - 1)).toBeLessThan(0.1);
    }
    expect(machine).toContain('Node');
    expect(stdout).toMatch(/2x2 +[\d.]+ +[\d.]+ \([\d.]+ to [\d.]+\) +-?[\d.]+/);
  });
});
