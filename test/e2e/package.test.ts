import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Locmoe, temporaryFolder, trainArguments } from './support.js';

/** What `npm install` would put in place, its packages and the text sources linked to those of this checkout. */
function unpacked(folder: string): string {
  const pack = ['pack', '--silent', '--offline', '--ignore-scripts', '--pack-destination', folder];
  const archive = execFileSync('npm', pack, { encoding: 'utf8' }).trim();
  execFileSync('tar', ['-xzf', path.join(folder, archive), '-C', folder]);
  const root = path.join(folder, 'package');
  symlinkSync(path.resolve('node_modules'), path.join(root, 'node_modules'));
  symlinkSync(path.resolve('corpus/node_modules'), path.join(root, 'corpus/node_modules'));
  return root;
}

describe('the packed package', () => {
  it('plans and trains in any folder', async () => {
    const folder = temporaryFolder();
    const root = unpacked(folder);
    const elsewhere = path.join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    const program = ['env', '-C', elsewhere, process.execPath, path.join(root, 'dist/cli/cli.js')];
    const run = (args: readonly string[]) => new Locmoe(args, {}, program).finished;

    const plan = await run(['plan', '--config', 'tiny']);
    expect(plan.code, plan.stderr).toBe(0);
    expect(plan.stdout).toMatch(/tokens measured by `locmoe bench routers`/);

    const options = {
      folder,
      nodes: 1,
      workersPerNode: 1,
      sets: ['train.steps=3', 'data.domains=[en]', 'moe.expertGroups=1'],
    };
    // The text is extracted from the sources, by the lock file that is part of the package.
    const args = trainArguments(options).map((arg, i, all) => (all[i - 1] === '--data-dir' ? 'data' : arg));
    const training = await run(args);
    expect(training.code, training.stdout + training.stderr).toBe(0);
    expect(training.stdout).toContain('data: preparing');
    expect(existsSync(path.join(elsewhere, 'data'))).toBe(true);
  }, 120_000);
});
