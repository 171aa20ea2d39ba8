import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { findWebGpu } from '../../scripts/webgpu.mjs';
import { recipeFile } from '../../src/config/resolve.js';
import { probeDevice } from '../../src/ops/kernels/webgpu/device-probe.js';
import { ROUTER_NAMES } from '../../src/routing/moe-config.js';
import { NIGHTLY } from '../nightly.js';
import { withWebGpu } from '../with-webgpu.js';
import { Locmoe, lossCurve, newestRun, startTraining, temporaryFolder, trainToTheEnd } from './support.js';

const STEPS = 6;
const DEVICE = 'train.device=webgpu';
const SETS = [
  `train.steps=${STEPS}`,
  'train.schedule=constant',
  'train.checkpointEvery=3',
  // A driver that computes on the processor compiles and computes slowly where other tests run.
  'cluster.collectiveTimeoutS=60',
];
/** At night: recipes with each router, on one rank and on two nodes. */
const WHOLE = ['tiny', 'mixtral-tiny'].flatMap((recipe) =>
  ROUTER_NAMES.flatMap((router) => [1, 2].map((nodes) => [recipe, router, nodes] as const)),
);

withWebGpu('train.device webgpu', () => {
  // By night the other family is trained with each router.
  it('two ranks train as those of the processor do, which go on from their checkpoint', async () => {
    const layout = { nodes: 1, workersPerNode: 2 };
    const sets = [...SETS, 'model.family=llama', 'moe.router=locmoe'];
    const cpu = lossCurve(await trainToTheEnd({ folder: temporaryFolder(), ...layout, sets }));
    const folder = temporaryFolder();
    const ours = await trainToTheEnd({ folder, ...layout, sets: [...sets, DEVICE, 'train.steps=4'] });
    const half = lossCurve(ours);
    const resumed = await trainToTheEnd({
      folder,
      ...layout,
      sets: [...sets, 'train.device=cpu'],
      resume: ours,
    });
    const whole = lossCurve(resumed);
    expect([half.size, whole.size]).toEqual([4, STEPS]);
    for (const [step, loss] of [...half, ...whole])
      expect(Math.abs(loss - cpu.get(step)!) / loss, `step ${step}`).toBeLessThan(1e-4);
  });

  it.runIf(NIGHTLY).each(WHOLE)(
    'trains 40 steps of %s with %s on %ix1 as the processor does',
    async (recipe, router, nodes) => {
      const config = readFileSync(recipeFile(recipe), 'utf8');
      const sets = [
        ...SETS,
        'train.steps=40',
        'train.checkpointEvery=40',
        'train.validateEvery=40',
        // Few tokens, as a driver that computes on the processor is slow.
        'train.globalBatch=4',
        'train.precision=float32',
        `moe.router=${router}`,
      ];
      const layout = { config, nodes, workersPerNode: 1 };
      const [cpu, device] = await Promise.all(
        [sets, [...sets, DEVICE]].map(async (each) =>
          lossCurve(await trainToTheEnd({ folder: temporaryFolder(), ...layout, sets: each })),
        ),
      );
      expect(device.size).toBe(40);
      // Rounding decides near ties of choices, after which losses differ: so do those of oneDNN's and TensorFlow's kernels on the
      // processor, of mixtral-tiny with deepseek from step 8 on, with expert-choice at step 28 by as much as here.
      const tips = recipe === 'mixtral-tiny' && ['deepseek', 'expert-choice'].includes(router);
      const limit = (step: number) => (tips && step > 20 ? 1e-2 : 1e-4);
      for (const [step, loss] of device)
        expect(Math.abs(loss - cpu.get(step)!) / loss, `step ${step}`).toBeLessThan(limit(step));
    },
  );

  it('auto takes no driver that computes on the processor, and says so', async ({ skip }) => {
    if (!probeDevice(findWebGpu()!).isSoftware) skip('this machine has a card');
    const sets = ['train.steps=1', 'train.device=auto'];
    const run = startTraining({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1, sets });
    const { code } = await run.finished;
    expect(code, run.output).toBe(0);
    expect(run.output).toMatch(
      /train\.device auto: the processor computes, as there is no device \(.* is no card, /,
    );
  });

  it('is named in the log, and by the doctor', async () => {
    const folder = temporaryFolder();
    const run = await trainToTheEnd({
      folder,
      nodes: 1,
      workersPerNode: 1,
      sets: ['train.steps=1', DEVICE],
    });
    const log = readFileSync(path.join(run, 'logs/node-0.ndjson'), 'utf8');
    expect(log).toMatch(/training from step 1 to 1 with WebGPU on .*, float32"/);
    const doctor = await new Locmoe(['doctor']).finished;
    expect(doctor.stdout).toMatch(/^(ok|note) +graphics card +\w/m);
  });
});

it('a device whose library is not installed ends a run at once, and auto goes on without', async () => {
  const folder = temporaryFolder();
  const env = { LOCMOE_WEBGPU: '/nowhere/dawn.node' };
  const size = { folder, nodes: 1, workersPerNode: 1, env };
  const failed = await startTraining({ ...size, sets: ['train.steps=1', DEVICE] }).finished;
  expect(failed.code).toBe(2);
  expect(failed.stderr).toMatch(/^locmoe: .*train\.device webgpu: .*\/nowhere\/dawn\.node/m);
  expect(failed.stderr).not.toMatch(/\n\s+at /);
  const run = await startTraining({ ...size, sets: ['train.steps=1', 'train.device=auto'] }).finished;
  expect(run.code, run.stderr).toBe(0);
  expect(run.stdout + run.stderr).toMatch(
    /^.*train\.device auto: the processor computes, as there is no device \(.*\/nowhere\/dawn\.node/m,
  );
  expect(lossCurve(newestRun(folder)).size).toBe(1);
});

it('bfloat16 is not computed on a device', async () => {
  const sets = [DEVICE, 'train.precision=bfloat16'];
  const run = startTraining({ folder: temporaryFolder(), nodes: 1, workersPerNode: 1, sets });
  const { code, stderr } = await run.finished;
  const why = 'bfloat16 beside train.device webgpu, which computes in float32';
  expect([code, stderr]).toEqual([2, expect.stringContaining(why)]);
});
