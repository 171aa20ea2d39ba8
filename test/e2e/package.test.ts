import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Locmoe, ROOT, temporaryFolder, trainArguments } from './support.js';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

/**
 * What `npm install *.tgz` puts in place in an empty folder. Packages of the registry are links to those of
 * this checkout, for each of ours only the ones that it declares.
 *
 * @returns the folder of the packages
 */
function installed(folder: string): string {
  const pack = [
    'pack',
    '--silent',
    '--offline',
    '--ignore-scripts',
    '--workspaces',
    '--include-workspace-root',
  ];
  execFileSync('npm', [...pack, '--pack-destination', folder], { cwd: ROOT });
  const packages = path.join(folder, 'node_modules');
  const manifests = readdirSync(folder)
    .filter((file) => file.endsWith('.tgz'))
    .map((archive) => unpack(path.join(folder, archive), packages));
  const versions = new Map(manifests.map(({ name, version }) => [name, version]));
  // npm takes what is given with it for a dependency of the same version, and asks no registry.
  for (const { name: ours, dependencies } of manifests)
    for (const [name, version] of Object.entries(dependencies))
      if (/^(?:locmoe$|@locmoe\/)/.test(name))
        expect(versions.get(name), `${ours} needs ${name}`).toBe(version);
      else {
        const link = path.join(packages, ours, 'node_modules', name);
        mkdirSync(path.dirname(link), { recursive: true });
        symlinkSync(path.join(ROOT, 'node_modules', name), link);
      }
  return packages;
}

function unpack(archive: string, packages: string): Manifest {
  const text = execFileSync('tar', ['-xzOf', archive, 'package/package.json'], { encoding: 'utf8' });
  const manifest = JSON.parse(text) as Manifest;
  const target = path.join(packages, manifest.name);
  mkdirSync(target, { recursive: true });
  execFileSync('tar', ['-xzf', archive, '-C', target, '--strip-components=1']);
  return manifest;
}

describe('the packed packages', () => {
  it('plan, train and show runs in any folder, and train without the page', async () => {
    const folder = temporaryFolder();
    const packages = installed(folder);
    const root = path.join(packages, 'locmoe');
    symlinkSync(path.join(ROOT, 'corpus/node_modules'), path.join(root, 'corpus/node_modules'));
    const elsewhere = path.join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    const program = ['env', '-C', elsewhere, process.execPath, path.join(root, 'dist/cli/cli.js')];
    const start = (args: readonly string[]) => new Locmoe(args, {}, program);

    const plan = await start(['plan', '--config', 'tiny']).finished;
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
    const training = await start(args).finished;
    expect(training.code, training.stdout + training.stderr).toBe(0);
    expect(training.stdout).toContain('data: preparing');
    expect(training.stdout).toMatch(/^page: http/m);
    expect(training.stderr).not.toContain('but not the page');
    expect(existsSync(path.join(elsewhere, 'data'))).toBe(true);

    const inspect = ['inspect', '--runs-dir', args[args.indexOf('--runs-dir') + 1]!];
    const page = start(inspect);
    const [, url] = await page.until(/page: (http:\/\/[^/]+)/);
    for (const file of ['/', '/page/main.js', '/page/vendor/uplot.js'])
      expect((await fetch(url + file)).status, file).toBe(200);
    page.interrupt();
    expect((await page.finished).code).toBe(0);

    rmSync(path.join(packages, '@locmoe/page/node_modules/uplot'));
    const why = "@locmoe/page is not installed, or not built (Cannot find module 'uplot/package.json')";
    const plain = await start([...args, '--set', 'train.steps=1']).finished;
    expect(plain.code, plain.stdout + plain.stderr).toBe(0);
    expect(plain.stderr).toContain(`locmoe: logs and metrics are served, but not the page: ${why}\n`);
    expect(plain.stdout).toMatch(/^logs and metrics: http/m);
    const refused = await start(inspect).finished;
    expect(refused.code).toBe(2);
    expect(refused.stderr).toBe(`locmoe: ${why}\n`);
  }, 180_000);
});
