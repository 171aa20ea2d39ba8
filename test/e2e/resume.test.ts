import { appendFileSync, cpSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { lossCurve, newestRun, startTraining, temporaryFolder, trainToTheEnd } from './support.js';

const HALF = 15;
const STEPS = 30;

/** Steps after `from` of a curve. */
function tail(curve: ReadonlyMap<number, number>, from: number): [number, number][] {
  return [...curve].filter(([step]) => step > from);
}

describe('a checkpoint', () => {
  it('resumed on the same layout goes on bit for bit; on another to float tolerance', async () => {
    const folder = temporaryFolder();
    const sets = [`train.checkpointEvery=${HALF}`];
    const whole = await trainToTheEnd({ folder, nodes: 2, workersPerNode: 2, sets });
    const reference = lossCurve(whole);
    // A step folder outside any run starts a run of its own.
    const resume = path.join(folder, 'step-000015');
    cpSync(path.join(whole, 'checkpoints/step-000015'), resume, { recursive: true });

    const same = await trainToTheEnd({
      folder: temporaryFolder(),
      nodes: 2,
      workersPerNode: 2,
      sets,
      resume,
    });
    expect([...lossCurve(same)]).toEqual(tail(reference, HALF));

    const one = { nodes: 1, workersPerNode: 1 };
    const other = await trainToTheEnd({ folder: temporaryFolder(), ...one, sets, resume });
    const curve = lossCurve(other);
    expect(curve.size).toBe(STEPS - HALF);
    for (const [step, loss] of tail(reference, HALF))
      expect(Math.abs(curve.get(step)! - loss) / loss, `step ${step}`).toBeLessThan(1e-4);
  });
});

describe('an interrupted run', () => {
  it('saves a last checkpoint, ends with 130, and resumes to the same curve', async () => {
    const folder = temporaryFolder();
    const layout = { nodes: 1, workersPerNode: 2 };
    const reference = lossCurve(await trainToTheEnd({ folder: temporaryFolder(), ...layout }));

    const run = startTraining({ folder, ...layout });
    await run.until(/step +\d+\/30/);
    run.interrupt();
    const { code, stdout, stderr } = await run.finished;
    expect(code, stdout + stderr).toBe(130);
    expect(stdout).toMatch(/checkpoint at step \d+/);
    await run.expectNothingLeft();

    const interrupted = newestRun(folder);
    const stoppedAt = Math.max(...lossCurve(interrupted).keys());
    expect(stoppedAt).toBeLessThan(STEPS);
    // As a power cut leaves it.
    appendFileSync(path.join(interrupted, 'metrics.ndjson'), '{"type":"st');
    const resumed = await trainToTheEnd({ folder, ...layout, resume: interrupted });
    // The run goes on in its own folder, so its curve is whole.
    expect(resumed).toBe(interrupted);
    expect([...lossCurve(resumed)]).toEqual([...reference]);
    const metrics = readFileSync(path.join(resumed, 'metrics.ndjson'), 'utf8');
    expect(metrics).toMatch(/^\{"type":"generation",.*"generation":2,"resumedFrom":\d+\}$/m);
    expect(existsSync(path.join(resumed, 'checkpoints/generation-2'))).toBe(true);
  });
});
