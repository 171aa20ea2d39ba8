import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { whyNoBfloat16 } from '../../src/ops/kernels/choose-kernels.js';
import { HAS_WEBGPU } from '../has-webgpu.js';
import { withOneDnn } from '../with-onednn.js';
import { DATA_DIR, Locmoe, locmoe, MICRO, temporaryFolder } from './support.js';

withOneDnn('with oneDNN', () => {
  it('bench kernels times what it has compared', async () => {
    const { code, stdout, stderr } = await locmoe('bench', 'kernels', '--width', '64', '--rounds', '1');
    expect(code, stderr).toBe(0);
    const types = whyNoBfloat16() === null ? ['float32', 'bfloat16'] : ['float32'];
    const names = ['operation', 'TensorFlow', ...types.map((type) => `oneDNN, ${type}`)];
    expect(stdout).toMatch(new RegExp(`^ *${names.join(' {2,}')}$`, 'm'));
    const times: { name: string; ms: number[] }[] = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
    expect(times.length).toBeGreaterThan(5);
    for (const { ms } of times) expect(Math.min(...ms)).toBeGreaterThan(0);
  }, 120_000);

  it.runIf(HAS_WEBGPU)(
    'bench kernels times a graphics device too',
    async () => {
      const more = ['--width', '64', '--rounds', '1', '--webgpu'];
      const { code, stdout, stderr } = await locmoe('bench', 'kernels', ...more);
      expect(code, stderr).toBe(0);
      expect(stdout).toMatch(/^ *operation +TensorFlow +oneDNN, float32.* +WebGPU$/m);
    },
    120_000,
  );

  it('refuses bfloat16 where oneDNN does not multiply it', async () => {
    const runs = path.join(temporaryFolder(), 'runs');
    const train = ['train', '--config', 'tiny', '--set', 'train.precision=bfloat16', '--runs-dir', runs];
    const refused = await new Locmoe(train, { ONEDNN_MAX_CPU_ISA: 'AVX2' }).finished;
    expect([refused.code, refused.stderr]).toEqual([
      2,
      'locmoe: train.precision bfloat16: oneDNN does not multiply it on this processor, which has no AVX-512; float32 and auto do without it\n',
    ]);
  });
});

it('says what is missing without oneDNN, and what LOCMOE_KERNELS may be', async () => {
  const ask = async (kernels: string, ...args: string[]) => {
    const { code, stderr } = await new Locmoe(args, { LOCMOE_KERNELS: kernels }).finished;
    return [code, stderr.trim()];
  };
  const folder = temporaryFolder();
  const config = path.join(folder, 'micro.yaml');
  writeFileSync(config, MICRO);
  const train = [
    'train',
    '--config',
    config,
    '--runs-dir',
    path.join(folder, 'runs'),
    '--data-dir',
    DATA_DIR,
  ];
  expect(await ask('tensorflow', ...train, '--set', 'train.precision=bfloat16')).toEqual([
    2,
    'locmoe: train.precision bfloat16: it needs oneDNN, but LOCMOE_KERNELS says tensorflow; float32 and auto do without it',
  ]);
  expect(await ask('onedn', ...train)).toEqual([
    2,
    'locmoe: LOCMOE_KERNELS is onedn: it must be one of auto, onednn, tensorflow, webgpu',
  ]);
  expect(await ask('auto', 'bench', 'kernels', '--width', '20')).toEqual([
    2,
    'locmoe: --width 20: it must be a multiple of 8, the attention heads',
  ]);
  const missing = await new Locmoe(train, { LOCMOE_ONEDNN: '/no/libdnnl.so' }).finished;
  expect([missing.code, missing.stderr.trim()]).toEqual([
    2,
    'locmoe: LOCMOE_ONEDNN is /no/libdnnl.so: there is no such file',
  ]);
});
