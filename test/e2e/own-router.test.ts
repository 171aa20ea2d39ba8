import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { readRecords } from '@locmoe/run-format';
import { freePort } from '@locmoe/test-kit';
import { expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { runCommand } from '../run-command.js';
import { serve } from './nodes.js';
import {
  DATA_DIR,
  type Finished,
  Locmoe,
  locmoe,
  MICRO,
  newestRun,
  ROOT,
  startTraining,
  temporaryFolder,
  trainArguments,
} from './support.js';

/** A folder with the router of examples/, and beside it a decoy package with the name that the router imports. */
function folderWithRouter(): { readonly folder: string; readonly router: string } {
  const folder = temporaryFolder();
  const other = path.join(folder, 'node_modules/locmoe');
  mkdirSync(other, { recursive: true });
  writeFileSync(
    path.join(other, 'package.json'),
    '{ "name": "locmoe", "exports": { "./routing": "./other.mjs" } }',
  );
  writeFileSync(path.join(other, 'other.mjs'), 'throw new Error("another program runs");');
  const router = path.join(folder, 'my-router.mjs');
  cpSync(path.join(ROOT, 'examples/my-router.mjs'), router);
  return { folder, router };
}

const NAME = String.raw`\S+my-router\.mjs#sha256=[0-9a-f]{64}`;
const OTHER_BYTES = /router \S+my-router\.mjs has SHA-256 [0-9a-f]{64} here, and [0-9a-f]{64} in the run$/m;
const ONE_RANK = { nodes: 1, workersPerNode: 1 };

/** Runs a command and expects it to succeed. */
async function succeeding(...args: string[]): Promise<Finished> {
  const finished = await locmoe(...args);
  expect(finished.code, finished.stdout + finished.stderr).toBe(0);
  return finished;
}

/** A router with a function `create`, whose parts are expressions: the choice of a token, the list of choices, the weights. */
function creating(choice: string, chosen = 'domainsT.map(choose)', weights = 'null'): string {
  return `import { classicFit, defineRouter, tf } from 'locmoe/routing';
    export default defineRouter({
      create: (context) => ({
        route({ domainsT, training }) {
          const choose = (domain) => {
            const group = context.expertsOfDomain[domain];
            return ${choice};
          };
          const chosenT = ${chosen};
          const fitted = classicFit(context, chosenT, training);
          return { auxiliaryLoss: null, gateCosine: null, ...fitted, weightsTK: ${weights} };
        },
      }),
    });`;
}

function addByte(router: string): void {
  writeFileSync(router, `${readFileSync(router, 'utf8')}// another byte\n`);
}

it('a router that is a rule trains, is recorded, ablated, planned and resumed, and generates', async () => {
  const { folder, router } = folderWithRouter();
  const sets = [`moe.router=${router}`, 'moe.routerOptions.choices=1', 'moe.expertGroups=1'];
  const layout = { folder, nodes: 2, workersPerNode: 1 };
  const recorded = [...sets, 'moe.capacityFactor=1.25', 'train.recordRoutes.every=5'];
  const trained = await succeeding(...trainArguments({ ...layout, sets: [...recorded, 'train.steps=20'] }));
  expect(trained.stdout).toMatch(new RegExp(`router ${NAME},`));
  const run = newestRun(folder);
  const steps = readRecords(path.join(run, 'metrics.ndjson')).filter((record) => record.type === 'step');
  expect(steps.at(-1)!.loss!).toBeLessThan(steps[0]!.loss! - 0.3);
  for (const { layers, auxiliaryLoss } of steps) {
    expect(auxiliaryLoss).toBeGreaterThan(0);
    for (const { gateCosine } of layers) expect(Math.abs(gateCosine!)).toBeGreaterThan(0);
  }
  expect((await succeeding('routes', 'report', run)).stdout).toMatch(
    /^gate: its own first choice is taken by 100\.0 %/m,
  );

  const checkpoint = ['--checkpoint', run];
  const data = ['--data-dir', DATA_DIR];
  const ablate = ['eval', ...checkpoint, ...data, '--sequences', '4', '--json', '--ablate'];
  const { ablations } = JSON.parse((await succeeding(...ablate)).stdout) as {
    ablations: { name: string; loss: number }[];
  };
  const [asTrained, zero, shuffled] = ablations.map(({ loss }) => loss);
  expect(ablations.slice(1, 3).map(({ name }) => name)).toEqual([
    'gate scores zero',
    'gate scores of other tokens',
  ]);
  for (const loss of [zero!, shuffled!]) expect(Math.abs(loss - asTrained!)).toBeGreaterThan(1e-3);
  const plan = ['plan', '--config', path.join(folder, 'micro.yaml'), '--json'];
  const planned = async (choices: number) => {
    const options = [...sets, `moe.routerOptions.choices=${choices}`].flatMap((set) => ['--set', set]);
    return JSON.parse((await succeeding(...plan, ...options)).stdout);
  };
  const [one, two] = [await planned(1), await planned(2)];
  expect(one.work.router.forward.flops).toBeGreaterThan(0);
  expect(two.work.experts.forward.flops).toBe(2 * one.work.experts.forward.flops);

  const generate = ['generate', ...checkpoint, '--domain', 'en', '--prompt', 'The', '--max-tokens', '3'];
  await succeeding(...generate);
  const resume = (count: number) => [
    'train',
    '--resume',
    newestRun(folder),
    '--set',
    `train.steps=${count}`,
    ...data,
    '--no-http',
  ];
  await succeeding(...resume(21));

  addByte(router);
  for (const args of [generate, resume(22)]) {
    const { code, stderr } = await locmoe(...args);
    expect(stderr).toMatch(OTHER_BYTES);
    expect(code).toBe(2);
  }
});

it.runIf(NIGHTLY)('a router without a gate has none to ablate', async () => {
  const { folder, router } = folderWithRouter();
  writeFileSync(router, creating('group[0]'));
  const sets = [`moe.router=${router}`, 'train.steps=1'];
  await succeeding(...trainArguments({ folder, ...ONE_RANK, sets }));
  const evaluation = [
    'eval',
    '--checkpoint',
    newestRun(folder),
    '--data-dir',
    DATA_DIR,
    '--sequences',
    '1',
    '--json',
  ];
  const noGate =
    /layer 1: router \S+my-router\.mjs has no gate to silence, or does not pass its scores through controlled/;
  const ablated = await locmoe(...evaluation, '--ablate');
  expect(ablated.stderr).toMatch(noGate);
  const { ablations } = JSON.parse(ablated.stdout) as { ablations: { name: string }[] };
  expect(ablations.slice(0, 2).map(({ name }) => name)).toEqual(['as trained', 'layer 1 without e0']);
  expect(await locmoe(...evaluation, '--ablate', 'gate')).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(noGate),
  });
});

it('a router is a package too, which its configuration finds and a plan counts', async () => {
  const { folder, router } = folderWithRouter();
  const home = path.join(folder, 'node_modules/router-of-mine');
  mkdirSync(home);
  cpSync(router, path.join(home, 'index.mjs'));
  writeFileSync(path.join(home, 'package.json'), '{ "name": "router-of-mine", "exports": "./index.mjs" }');
  const config = path.join(folder, 'packaged.yaml');
  const fields = 'router: router-of-mine, routerOptions: { choices: 1 }';
  writeFileSync(config, MICRO.replace('router: switch', fields));
  // Naming the router once allows these bytes to run anywhere.
  await succeeding('config', 'show', '--config', 'tiny', '--set', `moe.router=${router}`);
  const { stdout } = await succeeding('plan', '--config', config);
  expect(stdout).toMatch(/router \S+node_modules\/router-of-mine\/index\.mjs#sha256=[0-9a-f]{64},/);
  expect(stdout).not.toContain('has no rule');

  const unknown = await runCommand('plan', '--config', 'tiny', '--set', 'moe.router=@no/such-router');
  expect(unknown.stderr).toContain('router @no/such-router is no router of this version, and no file\n');
  expect(unknown.code).toBe(2);
});

/** Starts two nodes whose user has never named a router on a command line. */
function nodesOfAnother(folder: string, port: number, ...flags: string[]): Locmoe[] {
  const join = ['node', '--coordinator', `localhost:${port}`, '--join-timeout', '30', ...flags];
  return [1, 2].map(() => new Locmoe(join, { XDG_STATE_HOME: path.join(folder, 'state of another') }));
}

it.each([
  ['has other bytes', /has SHA-256 [0-9a-f]{64} here, and [0-9a-f]{64} in the run/],
  ['may not run the router', /with SHA-256 [0-9a-f]{64} was not run, as you have never named it: read it/],
])('a node that %s when it joins is refused by name, before its workers start', async (what, why) => {
  const { folder, router } = folderWithRouter();
  const port = await freePort();
  const run = serve(folder, port, [`moe.router=${router}`]);
  await run.until(/listening at/);
  if (what === 'has other bytes') addByte(router);
  const nodes = nodesOfAnother(folder, port);
  const { code, stdout, stderr } = await run.finished;
  expect(stderr).toMatch(new RegExp(String.raw`node [01]: router \S+my-router\.mjs ${why.source}`));
  expect(stdout).not.toMatch(/training from step/);
  expect(code).toBe(2);
  for (const each of nodes) await each.finished;
});

it('a node may run the router that it is given', async () => {
  const { folder, router } = folderWithRouter();
  const port = await freePort();
  const run = serve(folder, port, [`moe.router=${router}`, 'train.steps=1']);
  await run.until(/listening at/);
  const nodes = nodesOfAnother(folder, port, '--router', router);
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(0);
  for (const each of nodes) expect((await each.finished).code).toBe(0);
});

it('a node is not given a router that is none', async () => {
  const join = ['--coordinator', 'localhost:1', '--router', 'no-such-router'];
  expect((await runCommand('node', ...join)).stderr).toBe(
    'locmoe: router no-such-router is no router of this version, and no file\n',
  );
});

// By day routing/own/checked-router.test.ts has each decision that is wrong.
it.each<[string, number, string, ...string[]]>([
  ['1000000', 1, 'chosenTK[0] is 1000000; experts are 0 to 3, and -1 is none'],
  // What is wrong outside training, too, is found by the probe before the first step.
  ['group[0]', 0, 'weightsTK[0] is NaN', 'domainsT.map(choose)', 'tf.fill([chosenT.length, 1], NaN)'],
])(
  'a decision for %s ends the run at once with one line that has rank, step, layer and file',
  async (choice, step, why, ...parts) => {
    const { folder, router } = folderWithRouter();
    writeFileSync(router, creating(`training ? ${choice} : group[0]`, ...parts));
    const sets = [`moe.router=${router}`, 'train.probeRoutes=true'];
    const { code, stderr } = await startTraining({ folder, ...ONE_RANK, sets }).finished;
    expect(stderr).toMatch(
      new RegExp(
        `rank 0, node 0, step ${step}, layer 1, .*: router \\S+my-router\\.mjs decided wrongly: .*$`,
        'm',
      ),
    );
    expect(stderr).toContain(why);
    expect(code).toBe(2);
  },
);

it.runIf(NIGHTLY)('ranks that decide differently end the run at once', async () => {
  const { folder, router } = folderWithRouter();
  const kept =
    'keptOfRank: fitted.keptOfRank.map((keptE, rank) => rank === context.topology.rank ? keptE : keptE.with(0, 3))';
  writeFileSync(router, creating('group[0]', 'domainsT.map(choose)', `null, ${kept}`));
  const sets = [`moe.router=${router}`];
  const layout = { folder, nodes: 2, workersPerNode: 1 };
  const { code, stderr } = await startTraining({ ...layout, sets }).finished;
  expect(stderr).toMatch(
    /rank [01], node [01], step 0, layer 1, .*: router \S+my-router\.mjs decided wrongly: rank 1 has another keptOfRank than rank 0$/m,
  );
  expect(code).toBe(2);
});

it('a worker whose file has other bytes is refused by name', async () => {
  const { folder, router } = folderWithRouter();
  const run = startTraining({ folder, ...ONE_RANK, sets: [`moe.router=${router}`] });
  await run.until(/starting the workers/);
  addByte(router);
  const { code, stderr } = await run.finished;
  expect(stderr).toMatch(/node 0/);
  expect(stderr).toMatch(new RegExp(OTHER_BYTES.source.replace('$', '')));
  expect(code).toBe(2);
});

/** Plans with a router in this process, which takes no router that imports locmoe: it runs the sources. */
function planWith(file: string) {
  return runCommand('plan', '--config', 'tiny', '--set', `moe.router=${file}`);
}

it.each([
  ['export default 1;', /has no default export that defineRouter returned$/],
  ['throw new Error("not today");', /cannot be loaded: not today$/],
  [
    // The hashed bytes are loaded from a place where nobody can replace them.
    "import { statSync } from 'node:fs'; const { pathname } = new URL('.', import.meta.url); throw new Error(pathname + ' ' + (statSync(pathname).mode & 0o777).toString(8));",
    /cannot be loaded: \S*\/locmoe-router-[^/]+\/ 700$/,
  ],
  [
    "export default { create() {}, rule() { throw new Error('no data'); } };",
    /failed in rule \(my-router\.mjs:1\): Error: no data$/,
  ],
  [
    'export default { parameters: () => [], rule: () => ({ choose: { op: "top", by: { op: "linear", weight: "gaet" }, count: 1 } }) };',
    /router \S+my-router\.mjs has a wrong rule: it names gaet; the parameters are none$/,
  ],
  [
    'export default { rule: () => null };',
    /router \S+my-router\.mjs has neither a rule here nor a function create$/,
  ],
  [
    'export default { rule: () => ({ choose: { op: "top", by: undefined, count: 1 } }) };',
    /router \S+my-router\.mjs has a wrong rule: it has top without by$/,
  ],
  ["import './other.mjs';", /imports \.\/other\.mjs: a router is one file /],
  ["require('other');", /imports other: a router is one file /],
  [
    'export default { fields: { numExperts: {} }, create: () => ({}) };',
    /has a field numExperts, which is a field of moe already$/,
  ],
  [null, /my-router\.mjs cannot be read \(ENOENT/],
])('refuses %s', async (source, answer) => {
  const { folder } = folderWithRouter();
  const file = path.join(folder, source === null ? 'absent/my-router.mjs' : 'my-router.mjs');
  if (source !== null) writeFileSync(file, source);
  const { code, stderr } = await planWith(file);
  expect(stderr.trimEnd()).toMatch(answer);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(code).toBe(2);
});

it.each([
  ['/dev/zero', 'is no regular file but a device'],
  ['/proc/self/mem', "is no regular file but one of the kernel's"],
  [path.join(ROOT, 'src'), 'is no regular file but a folder'],
  ['a pipe', 'is no regular file but a pipe'],
  ['a file of 17 MiB', 'has 17825792 bytes; at most 16777216 are read'],
])('refuses %s without reading it', async (what, why) => {
  const folder = temporaryFolder();
  const file = path.isAbsolute(what) ? what : path.join(folder, 'my-router.mjs');
  if (what === 'a pipe') execFileSync('mkfifo', [file]);
  if (what === 'a file of 17 MiB') writeFileSync(file, Buffer.alloc(17 * 2 ** 20));
  const { code, stderr } = await planWith(file);
  expect(stderr).toMatch(/^locmoe: .*\n$/);
  expect(stderr).toContain(`router ${file} cannot be read (${file}: ${why})`);
  expect(code).toBe(2);
});

it('Ctrl-C ends a command whose router never ends to load', async () => {
  const { router } = folderWithRouter();
  writeFileSync(router, "import { writeSync } from 'node:fs'; writeSync(1, 'it loops'); for (;;);");
  const run = new Locmoe(['plan', '--config', 'tiny', '--set', `moe.router=${router}`]);
  await run.until(/it loops/);
  run.interrupt();
  await run.finished;
  expect(run.child.signalCode).toBe('SIGINT');
});

it('wraps a built-in router, whose rules see the fields that all routers have; refuses an option that it does not know', async () => {
  const { router } = folderWithRouter();
  const plan = (...sets: readonly string[]) =>
    locmoe('plan', ...[`moe.router=${router}`, ...sets].flatMap((set) => ['--set', set]), '--config', 'tiny');
  expect(await plan('moe.routerOptions.choices=0')).toMatchObject({
    code: 2,
    stderr: 'locmoe: --set moe.routerOptions.choices=0: moe.routerOptions.choices: must be more than 0\n',
  });
  writeFileSync(
    router,
    "import { defineRouter, routers } from 'locmoe/routing'; export default defineRouter({ ...routers['locmoe-plus'], fields: {} });",
  );
  expect((await plan()).code).toBe(0);
  expect(await plan('moe.numExperts=12', 'cluster.nodes=1')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(
      /moe\.numExperts: the router cuts dModel 128 into one group for each expert: 12 does not divide it/,
    ),
  });
});
