import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { skipLoudly } from '../debian-tool.js';
import { commandsOf } from './documented-commands.js';
import { Locmoe, newestRun, ROOT, temporaryFolder } from './support.js';

/** Number of the user and group `nobody`. */
const NOBODY = 65_534;

/** Runs `npm pack` and installs the package in an empty folder; returns that folder. */
function installed(parent: string): string {
  const npm = (cwd: string, ...args: string[]) =>
    execFileSync('npm', [...args, '--silent', '--prefer-offline'], { cwd, encoding: 'utf8' });
  const archive = npm(ROOT, 'pack', '--pack-destination', parent).trim();
  const folder = path.join(parent, 'empty');
  mkdirSync(folder);
  npm(folder, 'install', path.join(parent, archive));
  return folder;
}

describe('the packed package', () => {
  it('resolves every name that it exports, with its types, for Node and for bundlers', () => {
    execFileSync('npm', ['run', '--silent', 'package:check'], { cwd: ROOT, encoding: 'utf8' });
  });

  it('has types that a strict project resolves where there are none of TensorFlow', () => {
    const folder = temporaryFolder();
    const modules = path.join(folder, 'node_modules');
    mkdirSync(path.join(modules, 'locmoe'), { recursive: true });
    for (const name of readdirSync(path.join(ROOT, 'node_modules')))
      if (!['locmoe', '@tensorflow'].includes(name))
        symlinkSync(path.join(ROOT, 'node_modules', name), path.join(modules, name));
    for (const name of ['package.json', 'dist', 'scripts'])
      symlinkSync(path.join(ROOT, name), path.join(modules, 'locmoe', name));
    writeFileSync(
      path.join(folder, 'program.mts'),
      `import { type TrainingEvent, train } from 'locmoe';
      import { defineRouter, type Router } from 'locmoe/routing';
      import { findRun } from 'locmoe/run-format';
      export const all = [train, defineRouter, findRun];
      export const lossOf = (event: TrainingEvent): number | null => (event.type === 'step' ? event.loss : null);
      export const route = (router: Router) => router.route;`,
    );
    cpSync(path.join(ROOT, 'examples/my-router.mjs'), path.join(folder, 'router.mts'));
    const strict = [
      '--strict',
      '--skipLibCheck',
      'false',
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--types',
      'node',
    ];
    const options = [...strict, '--noEmit', '--preserveSymlinks', 'program.mts', 'router.mts'];
    const { stdout } = spawnSync(path.join(ROOT, 'node_modules/.bin/tsc'), options, {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
  });

  it('has a reference of all its names', () => {
    execFileSync('npm', ['run', '--silent', 'docs:api'], { cwd: ROOT, encoding: 'utf8' });
    const names = readdirSync(path.join(ROOT, 'docs/api/functions'));
    expect(names).toEqual(expect.arrayContaining(['locmoe.train.html', 'locmoe.loadModel.html']));
  });

  it('trains after first starts that were killed at any moment', async () => {
    const parent = temporaryFolder();
    const folder = installed(parent);
    cpSync(path.join(ROOT, 'docs/cluster.md'), path.join(folder, 'notes.md'));
    const env = { XDG_CACHE_HOME: path.join(parent, 'cache') };
    const short = ['--set', 'train.steps=2', '--nodes', '1', '--workers-per-node', '1', '--no-samples'];
    const start = () =>
      new Locmoe(['train', '--text', 'notes.md', ...short], env, ['env', '-C', folder, 'npx', 'locmoe']);
    const moments = Array.from({ length: 5 }, () => Math.random() * 30_000);
    for (const [index, moment] of moments.entries()) {
      const { child, finished } = start();
      // The kill hits npx alone or its whole process group, as npm does not learn that a set-up has died.
      const killed = index % 2 === 0 ? child.pid! : -child.pid!;
      const timer = setTimeout(() => process.kill(killed, 'SIGKILL'), moment);
      await finished;
      clearTimeout(timer);
    }
    const { code, stderr } = await start().finished;
    expect(code, `killed after ${moments.map(Math.round)} ms\n${stderr}`).toBe(0);
  });

  it('sets itself up, plans, trains and shows runs, and trains without the page', async () => {
    const parent = temporaryFolder();
    const folder = installed(parent);
    const packages = path.join(folder, 'node_modules');
    const root = path.join(packages, 'locmoe');
    const program = ['env', '-C', folder, path.join(packages, '.bin/locmoe')];
    const start = (args: readonly string[]) => new Locmoe(args, {}, program);

    const plan = await start(['plan', '--config', 'tiny']).finished;
    expect(plan.code, plan.stderr).toBe(0);
    expect(plan.stdout).toMatch(/routing: 1\.00 choices kept for each token/);

    const doctor = await start(['doctor']).finished;
    expect(doctor.stdout).toMatch(/^note {2}tensorflow +not here yet: the first training fetches it/m);
    expect(doctor.stdout).not.toContain('BAD');

    // Shell patterns are used in a folder outside this repository.
    cpSync(path.join(ROOT, 'docs'), path.join(folder, 'notes'), { recursive: true });
    const short = ['--set', 'train.steps=3', '--nodes', '1', '--workers-per-node', '1', '--no-samples'];
    const args = ['train', '--text', 'notes/*.md', ...short];
    const printed = await start([...args, '--print-config']).finished;
    expect(printed.code, printed.stderr).toBe(0);
    expect(printed.stdout).toMatch(/^# Made by --text for \d+ files with /);
    const wrong = await start([...args, '--set', 'moe.router=swich']).finished;
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/^locmoe: .*did you mean switch\?\n$/);

    // What can be refused without TensorFlow is refused before TensorFlow is installed.
    const early = [['generate', '--prompt', 'a'], ['eval'], ['api']].map((words) =>
      start([...words, '--checkpoint', 'nowhere']),
    );
    for (const { code, stderr } of await Promise.all(early.map(({ finished }) => finished)))
      expect({ code, stderr }).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/^locmoe: there is no checkpoint in nowhere.*\n$/),
      });

    const training = await start(args).finished;
    expect(training.code, training.stdout + training.stderr).toBe(0);
    expect(training.stderr).toMatch(/^locmoe: TensorFlow is not set up yet; installing it now, once/m);
    expect(training.stderr).toMatch(/^\[tensorflow\] installed 1\.15\.0$/m);
    expect(training.stdout).toMatch(/^page: http/m);
    expect(readdirSync(folder).sort()).toEqual([
      'data',
      'node_modules',
      'notes',
      'package-lock.json',
      'package.json',
      'runs',
    ]);

    const toWeb = ['export', '--checkpoint', newestRun(folder), '--to', 'web', '--output', 'my-page'];
    const exporting = await start(toWeb).finished;
    expect(exporting.code, exporting.stderr).toBe(0);
    expect(exporting.stdout).toMatch(/^ +index\.html +/m);
    expect(existsSync(path.join(folder, 'my-page/vendor/onnxruntime.wasm'))).toBe(true);

    const builtIn = await start(['train', '--config', 'tiny']).finished;
    expect(builtIn.code).toBe(2);
    expect(builtIn.stderr).toMatch(/^locmoe: domain en: .* run \S+\/\.bin\/locmoe setup --corpus\n$/);

    const inspected = start(['inspect']);
    const { address, headers } = await inspected.http();
    for (const file of ['/', '/page/main.js', '/page/vendor/uplot.js'])
      expect((await fetch(`http://${address}${file}`, { headers })).status, file).toBe(200);
    inspected.interrupt();
    expect((await inspected.finished).code).toBe(0);

    rmSync(path.join(root, 'node_modules/uplot'), { recursive: true });
    const why = "@locmoe/page is not installed, or not built (Cannot find module 'uplot/package.json')";
    const plain = await start(args).finished;
    expect(plain.code, plain.stdout + plain.stderr).toBe(0);
    expect(plain.stderr).toContain(`locmoe: logs and metrics are served, but not the page: ${why}\n`);
    expect(plain.stdout).toMatch(/^logs and metrics: http/m);
    const refused = await start(['inspect']).finished;
    expect(refused.code).toBe(2);
    expect(refused.stderr).toBe(`locmoe: ${why}\n`);
    // Removing tens of thousands of files on a busy machine takes longer than the default limit of a hook.
    rmSync(folder, { recursive: true });
  }, 600_000);

  it('that root has installed is set up by another user as docs/cluster.md tells it, and trains', async ({
    skip,
  }) => {
    if (process.getuid?.() !== 0) skipLoudly(skip, 'only root can start processes of another user');
    const parent = temporaryFolder();
    chmodSync(parent, 0o755);
    const folder = installed(parent);
    const home = path.join(parent, 'home');
    mkdirSync(home);
    cpSync(path.join(ROOT, 'docs/training.md'), path.join(home, 'training.md'));
    chownSync(home, NOBODY, NOBODY);
    const asNobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
    const documented = commandsOf('docs/cluster.md');
    const first = documented.findIndex((line) => line.startsWith('export PATH=/opt/locmoe'));
    const [exportPath, ...typed] = documented.slice(first, first + 3);
    expect(typed).toEqual(['locmoe setup', 'locmoe doctor']);
    const train = `locmoe train --text training.md --set train.steps=3 --nodes 1 --workers-per-node 1 --no-samples`;
    for (const line of [...typed, train]) {
      const words = [`${exportPath!.replace('/opt/locmoe', folder)}; ${line}`];
      // The variables that npx set for root's npm must not reach another user.
      const npm = ['cache', 'userconfig'].map((name) => `npm_config_${name}=${home}/.npm-${name}`);
      const shell = [...asNobody, 'env', '-C', home, `HOME=${home}`, 'npm_command=', ...npm, 'sh', '-c'];
      const { code, stdout, stderr } = await new Locmoe(words, {}, shell).finished;
      expect(code, stdout + stderr).toBe(0);
      if (line === 'locmoe doctor')
        expect(stdout).toMatch(/^ok {4}tensorflow .*\/home\/\.cache\/locmoe\/tensorflow-/m);
      else if (line === train) expect(stdout).toMatch(/ {2}locmoe generate --checkpoint runs\//m);
    }
    rmSync(parent, { recursive: true });
  }, 600_000);
});
