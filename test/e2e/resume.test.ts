import { appendFileSync, cpSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { lossCurve, newestRun, startTraining, temporaryFolder, trainToTheEnd, UNHURRIED } from './support.js';

const SAVED = 6;

it('an interrupted run saves a last checkpoint, ends with 130, and resumes to the same curve, bit for bit', async () => {
  const folder = temporaryFolder();
  const layout = { nodes: 1, workersPerNode: 2 };
  // With a constant learning rate a step computes the same however many follow it.
  const settings = [
    'train.schedule=constant',
    `train.checkpointEvery=${SAVED}`,
    'moe.dFeedForward=32',
    'moe.sharedExperts=1',
  ];
  const endless = [...settings, 'train.steps=100000'];
  const run = startTraining({ folder, ...layout, sets: endless, env: UNHURRIED });
  await run.until(/checkpoint at step 6:/);
  run.interrupt();
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(130);
  expect(stdout).toMatch(/checkpoint at step (?!6:)\d+/);
  await run.expectNothingLeft();

  const interrupted = newestRun(folder);
  const stoppedAt = Math.max(...lossCurve(interrupted).keys());
  const steps = stoppedAt + 2;
  const sets = [...settings, `train.steps=${steps}`];
  const reference = lossCurve(await trainToTheEnd({ folder: temporaryFolder(), ...layout, sets }));
  // A step folder outside any run starts a run of its own.
  const outside = path.join(folder, 'step-000006');
  cpSync(path.join(interrupted, 'checkpoints/step-000006'), outside, { recursive: true });
  // A power failure can leave such a partial line.
  appendFileSync(path.join(interrupted, 'metrics.ndjson'), '{"type":"st');
  const resumed = await trainToTheEnd({ folder, ...layout, sets, resume: interrupted });
  // The run goes on in its own folder, so its curve is whole.
  expect(resumed).toBe(interrupted);
  expect([...lossCurve(resumed)]).toEqual([...reference]);
  const metrics = readFileSync(path.join(resumed, 'metrics.ndjson'), 'utf8');
  expect(metrics).toMatch(/^\{"type":"generation",.*"generation":2,"resumedFrom":\d+\}$/m);
  expect(existsSync(path.join(resumed, 'checkpoints/generation-2'))).toBe(true);

  // On another layout the curves agree within float tolerance.
  const one = { nodes: 1, workersPerNode: 1 };
  const other = lossCurve(await trainToTheEnd({ folder: temporaryFolder(), ...one, sets, resume: outside }));
  expect(other.size).toBe(steps - SAVED);
  for (const [step, loss] of other)
    expect(Math.abs(reference.get(step)! - loss) / loss, `step ${step}`).toBeLessThan(1e-4);
});
