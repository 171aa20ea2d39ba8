import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { fetchNode, majorOf, NODE_VERSIONS } from '../../scripts/node-versions.mjs';
import { NIGHTLY } from '../nightly.js';
import { CLI, Locmoe, lossCurve, newestRun, temporaryFolder, trainArguments } from './support.js';

const OTHERS = NODE_VERSIONS.filter((version) => majorOf(version) !== majorOf(process.versions.node));
// By day the oldest version stands for all others but the one that runs the tests.
const TRIED = NIGHTLY ? OTHERS : OTHERS.slice(0, 1);

it.for(TRIED)('Node %s trains, resumes and generates, without a warning', async (version, context) => {
  const node = await fetchNode(version).catch((error: Error) => {
    if (process.env.CI) throw error;
    return context.skip(`npm cannot fetch Node ${version}: ${error.message}`);
  });
  const folder = temporaryFolder();
  const run = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await new Locmoe(args, { XDG_CACHE_HOME: folder }, [node, CLI]).finished;
    expect(code, stdout + stderr).toBe(0);
    expect(stderr).not.toMatch(/warning/i);
    return stdout;
  };
  expect(await run('doctor')).toMatch(
    new RegExp(`^ok +node +${version}\nok +tensorflow +1\\.15\\.0 computes, `, 'm'),
  );
  const size = { folder, nodes: 1, workersPerNode: NIGHTLY ? 2 : 1 };
  await run(...trainArguments({ ...size, sets: ['train.steps=2'] }));
  if (NIGHTLY) await run(...trainArguments({ ...size, sets: ['train.steps=4'], resume: newestRun(folder) }));
  expect([...lossCurve(newestRun(folder)).keys()]).toEqual(NIGHTLY ? [1, 2, 3, 4] : [1, 2]);
  if (majorOf(version) > 20) expect(readdirSync(path.join(folder, 'locmoe/compiled'))[0]).toMatch(/^v/);
  const checkpoint = ['--checkpoint', newestRun(folder), '--domain', 'en'];
  expect(await run('generate', ...checkpoint, '--prompt', 'The', '--max-tokens', '20')).toMatch(/^The./);
});
