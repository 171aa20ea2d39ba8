import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MICRO } from '../../../../test/e2e/support.js';
import { runCommand } from '../../../../test/run-command.js';
import { PROFILE } from './support.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-plan-'));
afterAll(() => rmSync(folder, { recursive: true }));
const config = path.join(folder, 'micro.yaml');
writeFileSync(config, MICRO);

/** Plans with a calibration. */
function plan(profile: object, ...args: readonly string[]) {
  const calibration = path.join(folder, 'calibration.json');
  writeFileSync(calibration, JSON.stringify(profile));
  return runCommand('plan', '--config', config, '--calibration', calibration, ...args);
}

describe('locmoe plan', () => {
  it('prints a plan, and the same as JSON', async () => {
    const args = ['--nodes', '2', '--workers-per-node', '2', '--link', '10gbps,50us', '--shared-machine'];
    const text = await plan(PROFILE, ...args);
    expect(text.code, text.stderr).toBe(0);
    expect(text.stdout).toMatch(
      /^micro, router switch, hierarchical exchange: 2 nodes x 2 workers\nstep [\d.]+ ms/,
    );
    expect(text.stdout).toContain(
      'calibration: a made-up machine, 2026-01-01; 2 cores for a node; link 10gbps,50us',
    );
    const { stepMs, partsMs } = JSON.parse((await plan(PROFILE, ...args, '--json')).stdout);
    expect(text.stdout).toContain(`step ${stepMs.toFixed(1)} ms`);
    expect(partsMs['all-reduce between nodes']).toBeGreaterThan(0);
    expect(text.stdout).not.toContain('extrapolation');

    const beyond = [
      '--nodes',
      '8',
      '--workers-per-node',
      '2',
      '--shared-machine',
      '--set',
      'moe.numExperts=16',
      '--set',
      'train.globalBatch=16',
    ];
    const notes = [
      'costs of messages are fitted on up to 4 ranks; 16 is an extrapolation',
      'the slowdown is measured with up to 2 workers a core; 4 is an extrapolation',
    ];
    expect((await plan(PROFILE, ...beyond)).stdout).toContain(
      notes.map((note) => `\nnote: ${note}`).join(''),
    );
    expect(JSON.parse((await plan(PROFILE, ...beyond, '--json')).stdout).extrapolations).toEqual(notes);
    expect((await plan(PROFILE, '--set', 'train.device=webgpu')).stdout).toContain(
      '\nnote: train.device webgpu: the calibration is of a processor, and so are these times and the memory',
    );
    const random = ['--set', 'moe.router=locmoe-plus', '--set', 'moe.ranking=random'];
    expect((await plan(PROFILE, ...random)).stdout).toContain(
      '\nnote: router locmoe-plus has no rule, so it counts as a dense gate that chooses one expert for each token',
    );
  });

  it.each([
    [['--nodes', '0'], /^locmoe: --nodes 0: cluster.nodes: must be more than 0\n$/],
    [
      ['--nodes', '8', '--set', 'moe.numExperts=6'],
      /^locmoe: --set moe.numExperts=6: moe.numExperts: 6 experts cannot be spread evenly over 8 workers[^\n]*\n$/,
    ],
    [['--link', '100gb,5us'], /^locmoe: --link 100gb,5us: '100gb' is no rate above zero in kbps, [^\n]*\n$/],
    [['--local-gain', '2'], /^locmoe: --local-gain 2: a share is at most 1\n$/],
    [
      ['--shared-machine', '--cores-per-node', '2'],
      /^locmoe: --shared-machine and --cores-per-node exclude /,
    ],
    [['--calibration', '/nowhere.json'], /^locmoe: --calibration \/nowhere.json: cannot be read \(ENOENT/],
  ])('refuses %j in a line', async (args, message) => {
    const { code, stdout, stderr } = await plan(PROFILE, ...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
    expect(stdout).toBe('');
  });

  it('says what a calibration lacks', async () => {
    const { code, stderr } = await plan({ ...PROFILE, compute: { ...PROFILE.compute, flopsPerS: -1 } });
    expect(stderr).toMatch(
      /no calibration: compute.flopsPerS: [^\n]*; measure one with: \S+\/cli\.ts bench plan --calibrate\n$/,
    );
    expect(code).toBe(2);
  });
});
