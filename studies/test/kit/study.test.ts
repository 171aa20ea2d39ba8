import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { machine } from '@locmoe/bench/internal/folders';
import { expect, it, onTestFinished, vi } from 'vitest';
import { count, SET, text, words } from '../../kit/options.js';
import { type Place, study } from '../../kit/study.js';
import { temporaryFolder } from '../support.js';

const OPTIONS = {
  config: text('<file>', 'what to train', 'large', 'tiny'),
  set: SET,
  denseSteps: count('steps', 480, { quick: 4 }),
  only: words('parts'),
};

/** Calls a study that measures `figures`, in a folder. @returns the folder, and the JSON that the study leaves there */
async function call(
  args: readonly string[],
  figures = { speed: 5 },
  during: (place: Place<unknown, object>) => void = () => {},
) {
  const folder = temporaryFolder();
  const log = vi.spyOn(console, 'log').mockReturnValue();
  onTestFinished(() => {
    log.mockRestore();
    process.exitCode = undefined;
  });
  let place: Parameters<typeof toy.measure>[0] | undefined;
  const toy = {
    name: 'toy',
    description: 'a toy',
    quick: 'less',
    options: OPTIONS,
    isPart: ({ only }: { only: readonly string[] }) => only.length > 0,
    measure: async (given: Place<{ [name in keyof typeof OPTIONS]: unknown }, { speed: number }>) => {
      place = given;
      during(given);
      return figures;
    },
  };
  await study(toy).parseAsync(['--work-dir', folder, ...args], { from: 'user' });
  const json = (out: string) => JSON.parse(readFileSync(path.join(out, 'toy.json'), 'utf8'));
  return { folder, place: place!, code: process.exitCode, json };
}

it('takes options as they are given, as the study has them, or with --quick as that has them', async () => {
  const out = temporaryFolder();
  const { place, json, code } = await call(['--out', out, '--set', 'a=1', '--set', 'b=2', '--only', 'x,y']);
  expect(place.options).toEqual({ config: 'large', set: ['a=1', 'b=2'], denseSteps: 480, only: ['x', 'y'] });
  expect(json(out)).toEqual({
    speed: 5,
    machine: machine(),
    command: expect.stringMatching(/^npm run study -- /),
  });
  expect(code).toBe(0);

  const quick = await call(['--quick', '--dense-steps', '8']);
  expect(quick.place.options).toEqual({ config: 'tiny', set: [], denseSteps: 8, only: [] });
  expect(quick.place.workDir).toBe(path.join(quick.folder, 'quick'));
  expect(quick.json(path.join(quick.folder, 'quick')).speed).toBe(5);
});

it('puts the report of a part beside what it keeps, and of all where it is told to', async () => {
  const { folder, json } = await call(['--only', 'x']);
  expect(json(folder).speed).toBe(5);
});

it('knows what was measured on this machine, not on another', async () => {
  const out = temporaryFolder();
  expect((await call(['--out', out])).place.previous).toBe(null);
  expect((await call(['--out', out])).place.previous).toMatchObject({ speed: 5 });
  writeFileSync(path.join(out, 'toy.json'), JSON.stringify({ speed: 9, machine: 'another' }));
  expect((await call(['--out', out])).place.previous).toBe(null);
  writeFileSync(path.join(out, 'toy.json'), '{');
  await expect(call(['--out', out])).rejects.toThrow(/toy\.json: no JSON; remove it/);
});

it('forgets what is finished with --anew alone', async () => {
  const workDir = temporaryFolder();
  const kept = path.join(workDir, 'results/part.json');
  mkdirSync(path.dirname(kept));
  writeFileSync(kept, '{}');
  await call(['--out', workDir, '--work-dir', workDir]);
  expect(existsSync(kept)).toBe(true);
  await call(['--out', workDir, '--work-dir', workDir, '--anew']);
  expect(existsSync(kept)).toBe(false);
});

it('writes the report of a study that fails, and ends as a failed run does', async () => {
  const out = temporaryFolder();
  const { code, json } = await call(['--out', out], { speed: 1 }, (place) => place.fail());
  expect(code).toBe(3);
  expect(json(out).speed).toBe(1);
});

it('ends at a signal, and says that what is finished is kept', async () => {
  const out = temporaryFolder();
  const stopped = call(['--out', out], { speed: 1 }, ({ signal }) => {
    process.emit('SIGTERM', 'SIGTERM');
    signal.throwIfAborted();
  });
  await expect(stopped).rejects.toThrow(
    'SIGTERM: ended; what is finished is kept, and the same command goes on',
  );
  expect(existsSync(path.join(out, 'toy.json'))).toBe(false);
});

it('refuses a place for the report that cannot be made before it measures, and --report without figures', async () => {
  const taken = path.join(temporaryFolder(), 'taken');
  writeFileSync(taken, '');
  let isMeasured = false;
  const measured = call(['--out', path.join(taken, 'x')], { speed: 1 }, () => {
    isMeasured = true;
  });
  await expect(measured).rejects.toThrow(`--out ${taken}/x: ${taken} is not a folder`);
  expect(isMeasured).toBe(false);
  await expect(call(['--report', '--out', temporaryFolder()])).rejects.toThrow(
    /--report: there is no .*toy\.json/,
  );
});
