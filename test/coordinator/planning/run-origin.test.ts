import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { FailureReport } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { findOrigin } from '../../../src/coordinator/planning/run-origin.js';
import { NO_SECURITY } from '../../../src/rpc/security.js';
import { config } from '../../checkpoint/fixture.js';
import { savedRun, saveStep } from '../saved-run.js';

async function originOf(resume: string, fork = false, warn: (line: string) => void = expect.unreachable) {
  const said: string[] = [];
  const voice = { security: NO_SECURITY, say: (line: string) => said.push(line), warn };
  return { ...(await findOrigin({ resume, fork, runsDir: 'runs' }, voice, () => config)), said };
}

describe('a run goes on in its folder', () => {
  it.each(['', 'checkpoints', 'checkpoints/step-000002'])('from RUN/%s', async (place) => {
    const folder = savedRun([2]);
    const { resumed, checkpoint, said } = await originOf(path.join(folder.directory, place));
    expect(resumed).toMatchObject({ generation: 2, folder: { directory: folder.directory } });
    expect(checkpoint?.manifest.step).toBe(2);
    expect(said).toEqual([]);
  });

  it.each([
    ['is missing', (file: string) => rmSync(file)],
    ['is broken', (file: string) => writeFileSync(file, '{"runId"')],
  ])('but not if its record %s: that could only be a new run, which must be asked for', async (_, harm) => {
    const { directory, checkpoints } = savedRun([2]);
    harm(path.join(directory, 'run.json'));
    for (const place of [directory, checkpoints, path.join(checkpoints, 'step-000002')])
      await expect(originOf(place)).rejects.toMatchObject({
        code: 'BAD_INPUT',
        message: expect.stringMatching(/saved-\S+\/run\.json is missing or .* with --fork$/),
      });
    expect(await originOf(directory, true)).toMatchObject({ resumed: null, checkpoint: {} });
  });
});

it('a step that is no longer there is named as it was given, with those that are', async () => {
  const { checkpoints } = savedRun([2, 4]);
  const gone = path.join(checkpoints, 'step-000001');
  for (const fork of [false, true])
    await expect(originOf(gone, fork)).rejects.toMatchObject({
      code: 'BAD_INPUT',
      message: `${gone} does not exist; there are step-000002, step-000004`,
    });
  const inFile = path.join(checkpoints, 'step-000002/manifest.json/x');
  await expect(originOf(inFile)).rejects.toMatchObject({
    code: 'BAD_INPUT',
    message: `${inFile} does not exist; give the name or the folder of a run`,
  });
});

describe('its generation is above', () => {
  it('that of a checkpoint that was copied in', async () => {
    const folder = savedRun([2]);
    saveStep(folder, 4, 6);
    const { resumed, checkpoint } = await originOf(folder.directory);
    expect(resumed?.generation).toBe(7);
    expect(checkpoint?.manifest.step).toBe(4);
  });

  it('that of a marker, if its record is an old one', async () => {
    const folder = savedRun([2]);
    writeFileSync(path.join(folder.checkpoints, 'generation-4'), '');
    expect((await originOf(folder.directory)).resumed?.generation).toBe(5);
  });
});

describe('a new run starts', () => {
  it('from a checkpoint of no run, and says so', async () => {
    const { checkpoints, directory, runId } = savedRun([2]);
    const copy = path.join(path.dirname(directory), 'kept/step-000002');
    cpSync(path.join(checkpoints, 'step-000002'), copy, { recursive: true });
    const { said, ...origin } = await originOf(copy);
    expect(origin).toMatchObject({ resumed: null, forkedFrom: { runId, step: 2 } });
    expect(said).toEqual([`${copy} is in no run's folder: a new run starts from it in runs`]);
  });

  it('with --fork, and leaves the other to whoever holds it', async () => {
    const { directory, lock, runId } = savedRun([2, 4]);
    const before = readFileSync(path.join(directory, 'run.json'));
    const origin = await originOf(path.join(directory, 'checkpoints/step-000002'), true);
    expect(origin).toMatchObject({ resumed: null, forkedFrom: { runId, step: 2 } });
    expect(existsSync(lock)).toBe(false);
    expect(readFileSync(path.join(directory, 'run.json'))).toEqual(before);
  });

  it('with --fork from no checkpoint that led to a failure, like the run itself', async () => {
    const folder = savedRun([2, 4]);
    folder.writeFailure({ generation: 1, code: 'NOT_FINITE', step: 7 } as FailureReport);
    const warned: string[] = [];
    const { checkpoint } = await originOf(folder.directory, true, (line) => warned.push(line));
    expect(checkpoint?.manifest.step).toBe(2);
    expect(warned).toEqual([expect.stringContaining('step 7 from its weights was NaN')]);
  });

  it('but --fork needs to know from where', async () => {
    const voice = { security: NO_SECURITY, say: () => undefined, warn: () => undefined };
    await expect(findOrigin({ fork: true, runsDir: 'runs' }, voice, () => config)).rejects.toThrow(
      /--fork: .*--resume/,
    );
  });
});

it.each([
  [
    { init: 'a', resume: 'b' },
    /^--init starts a new run .*, --resume goes on from one: give one of the two$/,
  ],
  [{ init: 'a', inherit: 'b' }, /^--init starts .*, --inherit grows the model .*: give one of the two$/],
  [{ inherit: 'a', resume: true }, /^--inherit grows .*, --resume goes on from one: give one of the two$/],
  [{ inheritNoise: 0.1 }, /^--inherit-noise: say from which dense checkpoint with --inherit$/],
  [{ init: 'a', inheritSeed: 3 }, /^--inherit-seed: say from which dense checkpoint with --inherit$/],
] as const)('%j is refused', async (options, refusal) => {
  const voice = { security: NO_SECURITY, say: () => undefined, warn: () => undefined };
  await expect(findOrigin({ fork: false, runsDir: 'runs', ...options }, voice, () => config)).rejects.toThrow(
    refusal,
  );
});
