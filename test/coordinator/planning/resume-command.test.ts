import { rmSync } from 'node:fs';
import path from 'node:path';
import type { FailureReport, RunFolder } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { resumptionOf } from '../../../src/coordinator/planning/resume-command.js';
import type { RunOptions } from '../../../src/coordinator/planning/run-options.js';
import { fromHere } from '../../../src/os/command-line.js';
import { config } from '../../checkpoint/fixture.js';
import { OPTIONS, savedRun, saveStep } from '../saved-run.js';

const GIVEN: RunOptions = {
  ...OPTIONS,
  config: "my recipe's.yaml",
  set: ['train.steps=9', 'data.domains=[en, zh]'],
  nodes: 1,
  workersPerNode: 2,
};
const OVERRIDES =
  "--config 'my recipe'\\''s.yaml' --set train.steps=9 --set 'data.domains=[en, zh]' --nodes 1 --workers-per-node 2";

/** Returns the arguments after `locmoe train --resume`, and the checkpoint from which the run goes on. */
function goOn(folder: RunFolder, startedFrom: string | null, options = GIVEN, generation = 2, notFinite = 0) {
  const code = notFinite > 0 ? 'NOT_FINITE' : 'WORKER_DIED';
  const failure = { code, step: notFinite, operation: null };
  const known = { failure, config, command: 'train', resumeOptions: ['--no-http'] } as const;
  const found = resumptionOf({ ...known, options, folder, generation, startedFrom });
  return (
    found && {
      words: found.command.replace(/^\S+\/cli\.ts train --resume /, ''),
      from: path.basename(found.checkpoint),
    }
  );
}

describe('the command that goes on with a failed run', () => {
  it('gives its options again until one of its own checkpoints has them', () => {
    const folder = savedRun([2]);
    const startedFrom = path.join(folder.checkpoints, 'step-000002');
    const run = fromHere(folder.directory);
    expect(goOn(folder, fromHere(startedFrom))).toEqual({
      words: `${run} ${OVERRIDES} --no-http`,
      from: 'step-000002',
    });
    saveStep(folder, 4, 2);
    expect(goOn(folder, startedFrom)).toEqual({ words: `${run} --no-http`, from: 'step-000004' });
  });

  it('names the step that it went back to, until it has saved another', () => {
    const folder = savedRun([2, 4]);
    const startedFrom = path.join(folder.checkpoints, 'step-000002');
    expect(goOn(folder, startedFrom)).toEqual({
      words: `${fromHere(startedFrom)} ${OVERRIDES} --no-http`,
      from: 'step-000002',
    });
  });

  it('forks again before a forked run has a checkpoint, then speaks of the forked run', () => {
    const startedFrom = path.join(savedRun([2]).checkpoints, 'step-000002');
    const forked = savedRun([1]);
    const options = { ...GIVEN, fork: true };
    const empty = { ...forked, checkpoints: path.join(forked.directory, 'none') } as RunFolder;
    expect(goOn(empty, startedFrom, options, 1)).toEqual({
      words: `${fromHere(startedFrom)} --fork ${OVERRIDES} --no-http`,
      from: 'step-000002',
    });
    expect(goOn(forked, startedFrom, options, 1)).toEqual({
      words: `${fromHere(forked.directory)} --no-http`,
      from: 'step-000001',
    });
  });

  it('names no checkpoint that leads to the same failure, and lowers the learning rate', () => {
    const folder = savedRun([2, 4]);
    const lower = '--set train.learningRate=0.0005 --no-http';
    const folderOf = (step: number) => fromHere(path.join(folder.checkpoints, `step-00000${step}`));
    const startedFrom = path.join(folder.checkpoints, 'step-000004');
    expect(goOn(folder, startedFrom, GIVEN, 2, 7)).toEqual({
      words: `${folderOf(2)} ${OVERRIDES} ${lower}`,
      from: 'step-000002',
    });
    expect(goOn(savedRun([4]), startedFrom, GIVEN, 2, 7)).toBeNull();
    saveStep(folder, 6, 2);
    expect(goOn(folder, startedFrom, GIVEN, 2, 10)).toEqual({
      words: `${folderOf(6)} ${lower}`,
      from: 'step-000006',
    });
  });

  it('names the folder of one that was asked for although the run itself would pass it over', () => {
    const folder = savedRun([2, 4]);
    const startedFrom = path.join(folder.checkpoints, 'step-000004');
    folder.writeFailure({ generation: 1, code: 'NOT_FINITE', step: 5 } as FailureReport);
    expect(goOn(folder, startedFrom)?.words).toBe(`${fromHere(startedFrom)} ${OVERRIDES} --no-http`);
  });

  it('names no checkpoint that was deleted meanwhile', () => {
    const folder = savedRun([2, 4]);
    const startedFrom = path.join(folder.checkpoints, 'step-000004');
    saveStep(folder, 6, 2);
    rmSync(startedFrom, { recursive: true });
    expect(goOn(folder, startedFrom, GIVEN, 2, 7)?.from).toBe('step-000002');
    rmSync(path.join(folder.checkpoints, 'step-000002'), { recursive: true });
    expect(goOn(folder, startedFrom, GIVEN, 2, 7)).toBeNull();
  });

  it('is none for a new run without a checkpoint', () => {
    const folder = savedRun([2]);
    const empty = { ...folder, checkpoints: path.join(folder.directory, 'none') } as RunFolder;
    expect(goOn(empty, null, GIVEN, 1)).toBeNull();
    expect(goOn(folder, null, GIVEN, 1)).toEqual({
      words: `${fromHere(folder.directory)} --no-http`,
      from: 'step-000002',
    });
  });
});
