import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { stringify } from 'yaml';
import { trainedCheckpoint } from '../../packages/export/test/trained.js';
import { writeManifest } from '../../src/checkpoint/manifest.js';
import type { RunConfig } from '../../src/config/schema.js';
import { loadModel, train } from '../../src/library/index.js';
import { createRunFolder } from '../../src/run/create-run-folder.js';
import { sha256 } from '../../src/sha256.js';
import { runCommand } from '../run-command.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-stranger-'));
const ROUTER = path.join(folder, "a stranger's.mjs");
const RECIPE = path.join(folder, 'recipe.yaml');
const TEXT = path.join(folder, 'text.txt');
const MARKER = path.join(folder, 'code has run');

/** A router whose code leaves a mark as soon as it is loaded. */
function codeOf(comment: string): string {
  const write = `import { writeFileSync } from 'node:fs';\nwriteFileSync(${JSON.stringify(MARKER)}, '');\n`;
  return `${write}export default { create() {} };\n// ${comment}\n`;
}

let checkpoint: string;
let run: string;
beforeAll(() => {
  writeFileSync(ROUTER, codeOf('as it was sent'));
  writeFileSync(TEXT, 'The state of the run.');
  run = createRunFolder(folder, 'export').directory;
  const saved = trainedCheckpoint(run, 'hash');
  checkpoint = saved.folder;
  const { moe, ...rest } = saved.manifest.config;
  const configWith = (router: string): RunConfig => ({
    ...rest,
    moe: { ...moe, router },
    data: { ...rest.data, domains: ['en', 'code'] },
  });
  const config = configWith(`${ROUTER}#sha256=${sha256(readFileSync(ROUTER))}`);
  writeManifest(checkpoint, { ...saved.manifest, config });
  writeFileSync(path.join(run, 'config.json'), JSON.stringify(config));
  writeFileSync(RECIPE, stringify(configWith(`./${path.basename(ROUTER)}`)));
});
beforeEach(() => {
  vi.stubEnv('XDG_STATE_HOME', mkdtempSync(path.join(folder, 'state-')));
  rmSync(MARKER, { force: true });
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const REFUSAL =
  /^(locmoe|\S+recipe\.yaml:\d+:\d+|locmoe: \S+ moe\.router): router \/\S+\/a stranger's\.mjs with SHA-256 [0-9a-f]{64} was not run, as you have never named it: read it, and if you trust it, type \S+ config show --config tiny --set 'moe\.router=\/\S+\/a stranger'\\''s\.mjs'\n$/;

it.each([
  'config show --checkpoint SAVED',
  'config show --config RECIPE',
  'generate --checkpoint SAVED --domain en --prompt The',
  'api --checkpoint SAVED --port 0',
  'eval --checkpoint SAVED',
  'eval --checkpoint SAVED --ablate',
  'eval --checkpoint SAVED --cloze',
  'export --checkpoint SAVED --to huggingface --output NEW',
  'export --checkpoint SAVED --to gguf --output NEW',
  'export --checkpoint SAVED --to onnx --output NEW',
  'export --checkpoint SAVED --to web --output NEW',
  'routes record --checkpoint SAVED --domain en --text TEXT --output NEW',
  'routes report --checkpoint SAVED --domain en --text TEXT',
  'routes place RUN',
  'routes place RUN --config RECIPE',
  'train --resume RUN',
  'train --resume SAVED --fork',
  'train --init SAVED',
  'train --inherit SAVED --config RECIPE',
  'train --config RECIPE',
  'serve --config RECIPE --listen 127.0.0.1:0',
  'serve --resume RUN --listen 127.0.0.1:0',
  'doctor --config RECIPE',
  'plan --config RECIPE',
  'data inspect --config RECIPE',
  'bench plan --config RECIPE',
  'bench step --config RECIPE',
])('%s runs no router that a stranger names', async (command) => {
  const places = { SAVED: checkpoint, RECIPE, RUN: run, TEXT, NEW: path.join(folder, 'new') };
  const [name, ...args] = command.split(' ').map((word) => Reflect.get(places, word) ?? word);
  const { code, stderr } = await runCommand(name, ...args);
  expect(existsSync(MARKER)).toBe(false);
  const knowsNames = /--to gguf/.test(command);
  expect(stderr).toMatch(knowsNames ? /^locmoe: .* cannot be exported to .*\n$/ : REFUSAL);
  expect(code).toBe(2);
});

it('takes a router of a recipe for none that an option has named, whatever the keys of the recipe are', async () => {
  const dotted = path.join(folder, 'dotted.yaml');
  writeFileSync(dotted, `moe.router: hash\n${readFileSync(RECIPE, 'utf8')}`);
  const { code, stderr } = await runCommand('config', 'show', '--config', dotted, '--set', 'moe.router=hash');
  expect(existsSync(MARKER)).toBe(false);
  expect(stderr).toMatch(/ was not run, as you have never named it: .*\n.* moe\.router: unknown key\n$/);
  expect(code).toBe(2);
});

it('gives a named router no package that another user has put into the folder of temporary files', async () => {
  const shared = mkdtempSync(path.join(folder, 'tmp-'));
  vi.stubEnv('TMPDIR', shared);
  writeFileSync(
    path.join(shared, 'package.json'),
    '{ "name": "locmoe", "exports": { "./routing": "./theirs.mjs" } }',
  );
  writeFileSync(path.join(shared, 'theirs.mjs'), codeOf('of another user'));
  const own = path.join(folder, 'own.mjs');
  writeFileSync(own, `import 'locmoe/routing';\nexport default {};\n`);
  const { stderr } = await runCommand('config', 'show', '--config', 'tiny', '--set', `moe.router=${own}`);
  vi.stubEnv('TMPDIR', undefined);
  expect(existsSync(MARKER)).toBe(false);
  expect(stderr).toMatch(/own\.mjs/);
});

it('the library runs no router that a checkpoint or a recipe names', async () => {
  const dirs = { runsDir: path.join(folder, 'runs'), dataDir: path.join(folder, 'data') };
  for (const use of [loadModel(checkpoint), train({ config: RECIPE, ...dirs }).result])
    await expect(use).rejects.toThrow('was not run, as you have never named it');
  expect(existsSync(MARKER)).toBe(false);
  const misspelt = train({ config: 'tiny', set: { 'moe.router': 'swich' }, ...dirs });
  await expect(misspelt.result).rejects.toMatchObject({
    code: 'BAD_CONFIG',
    message: expect.stringMatching(/^--set moe\.router="swich": .*did you mean switch\?$/),
  });
});

it('runs a router once its user has named it, wherever it is named then, until it is changed', async () => {
  const show = (...set: readonly string[]) => runCommand('config', 'show', '--config', RECIPE, ...set);
  expect((await show()).code).toBe(2);
  expect(await show('--set', `moe.router=${ROUTER}`)).toMatchObject({ code: 0 });
  expect(existsSync(MARKER)).toBe(true);
  expect(await show()).toMatchObject({ code: 0 });
  writeFileSync(ROUTER, codeOf('changed'));
  const { code, stderr } = await show();
  expect(stderr).toMatch(REFUSAL);
  expect(code).toBe(2);
  expect(await show('--set', `moe.router=${ROUTER}`)).toMatchObject({ code: 0 });
});

it('keeps the list of named routers from other users, and says where it cannot write it', async () => {
  const name = () => runCommand('config', 'show', '--config', 'tiny', '--set', `moe.router=${ROUTER}`);
  await name();
  await name();
  const list = path.join(process.env.XDG_STATE_HOME!, 'locmoe/trusted-routers');
  expect(readFileSync(list, 'utf8')).toBe(`${sha256(readFileSync(ROUTER))} ${JSON.stringify(ROUTER)}\n`);
  expect(statSync(list).mode & 0o777).toBe(0o600);
  expect(statSync(path.dirname(list)).mode & 0o777).toBe(0o700);
  vi.stubEnv('XDG_STATE_HOME', TEXT);
  const { code, stderr } = await name();
  expect(stderr).toMatch(
    /trusted-routers cannot remember router .* \(\S*ENOTDIR.*\): let XDG_STATE_HOME name a folder/,
  );
  expect(code).toBe(2);
});
