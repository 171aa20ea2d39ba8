import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from 'locmoe/internal/errors';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import type { DoorPart } from '../doors/figures.js';
import { doors } from '../doors/study.js';
import { temporaryFolder } from './support.js';

let out: string;
beforeEach(() => {
  out = temporaryFolder();
  const silenced = [vi.spyOn(console, 'log').mockReturnValue(), vi.spyOn(console, 'error').mockReturnValue()];
  onTestFinished(() => {
    for (const each of silenced) each.mockRestore();
    process.exitCode = undefined;
  });
});

type Parts = NonNullable<Parameters<typeof doors>[0]>;
type DoorFigures = Awaited<ReturnType<DoorPart>>['figures'];

const failing: DoorPart = () => Promise.reject(new TrainerError('NO_RESOURCE', 'no browser'));
const part = (figures: DoorFigures) => async (): Promise<DoorPart> => async () => ({
  figures,
  notes: 'Two threads.',
});

/** @returns the exit code */
async function measure(parts: Parts, ...args: readonly string[]) {
  const places = ['--out', out, '--work-dir', path.join(out, 'work')];
  await doors(parts).parseAsync(['--quick', ...places, ...args], { from: 'user' });
  return process.exitCode;
}
const json = () => JSON.parse(readFileSync(path.join(out, 'doors.json'), 'utf8'));

it('keeps the figures of the other parts, of one that fails too, and what people wrote', async () => {
  const parts = {
    web: async () => failing,
    prepare: part({ prepareMBPerS: 12.34567, preparePeakMemoryMB: 500 }),
  };
  expect(await measure(parts)).toBe(3);
  expect(json()).toMatchObject({ prepareMBPerS: 12.35, webTokensPerS: null, packageInstallS: null });

  const markdown = path.join(out, 'doors.md');
  const written = readFileSync(markdown, 'utf8');
  expect(written).toContain(
    '| text prepared, MB/s | 12.35 | `npm run study -- doors --only prepare --quick` |',
  );
  expect(written).toContain('**prepare.** Two threads.\n');
  expect(written).not.toMatch(/null|undefined|tokens\/s/);
  writeFileSync(markdown, written.replace('_Nothing written yet._', 'Bound by the disk.'));

  expect(await measure({ ...parts, web: part({ webTokensPerS: 40 }) }, '--only', 'web')).toBe(0);
  expect(json()).toMatchObject({
    prepareMBPerS: 12.35,
    webTokensPerS: 40,
    commands: { webTokensPerS: 'npm run study -- doors --only web --quick' },
    notes: { prepare: 'Two threads.', web: 'Two threads.' },
  });
  expect(readFileSync(markdown, 'utf8')).toContain('Bound by the disk.');
});

it('goes on after what is finished, unless all is to be measured anew', async () => {
  await measure({ prepare: part({ prepareMBPerS: 10 }), web: async () => failing });
  const second = { prepare: part({ prepareMBPerS: 20 }), web: part({ webTokensPerS: 40 }) };
  expect(await measure(second)).toBe(0);
  expect(json()).toMatchObject({ prepareMBPerS: 10, webTokensPerS: 40 });
  await measure(second, '--anew');
  expect(json()).toMatchObject({ prepareMBPerS: 20 });
});

it('refuses an unknown part before it measures', async () => {
  await expect(measure({ prepare: part({}) }, '--only', 'prepare,wbe')).rejects.toThrow(
    '--only wbe: no such part; parts are prepare',
  );
  expect(existsSync(path.join(out, 'doors.json'))).toBe(false);
});

it('drops the figures of another machine', async () => {
  expect(await measure({ prepare: part({ prepareMBPerS: 10 }) })).toBe(0);
  writeFileSync(path.join(out, 'doors.json'), JSON.stringify({ ...json(), machine: 'another' }));
  expect(await measure({ web: part({ webTokensPerS: 40 }) })).toBe(0);
  expect(json()).toMatchObject({ prepareMBPerS: null, webTokensPerS: 40 });
});
