import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { skipLoudly } from '../debian-tool.js';
import { documentedCommands } from './documented-commands.js';
import { CLI, DATA_DIR, Locmoe, ROOT } from './support.js';

/** A step of the recipe has both cores for a third of a second; the runs here leave them to what is typed meanwhile. */
const UNHURRIED = { LOCMOE_FAIL: 'step.begun:*:sleep=500' };

/** A command, and what it has to print. */
type Printing = readonly [command: string, printed: RegExp];

/** Of `locmoe logs`, where it depends on the run whether a line matches. */
const MATCH_OR_NOT = [0, 1];

const TRAIN = 'npx locmoe train --config tiny';
const OWN_TEXT = `npx locmoe train --text 'notes/**/*.txt'`;
const OWN_PROMPT: Printing = ['npx locmoe generate --checkpoint runs/RUN --prompt "Once"', /^Once/];
const RESUME = 'npx locmoe train --resume';
const FORK = 'npx locmoe train --resume runs/RUN/checkpoints/step-000100 --fork';
const ONE_NODE = 'npx locmoe train --config tiny --set train.steps=200 --nodes 1 --workers-per-node 4';
const HTTP = 'npx locmoe train --config tiny --http 127.0.0.1:9464';
const TENSORBOARD = 'npx locmoe train --config tiny --tensorboard events';
const STOP = 'npx locmoe stop';
const FLIGHT = 'npx locmoe flight';
const JQ = 'npx locmoe logs --json | jq .msg';
/** About a run that goes on. */
const STATUS: readonly Printing[] = [
  ['npx locmoe status', /running/],
  ['npx locmoe inspect', /http:\/\/127\.0\.0\.1:\d+/],
];
/** End with the run that they follow. */
const FOLLOWING = [
  'npx locmoe logs --follow --level warn',
  `npx locmoe logs '{rank="3"} |= "NaN"' --since 5m -C 10 --follow`,
];
/** About a run that is over. No line matches where the pattern is empty: neither was the run at fault, nor long. */
const AFTERWARDS: readonly (Printing | readonly [...Printing, codes: readonly number[]])[] = [
  ['npx locmoe logs', /node 0 rank 1 /],
  [`npx locmoe logs '{rank="3"} |= "NaN"' -C 10`, /^/, MATCH_OR_NOT],
  [`npx locmoe logs '|~ "(?i)timeout"' --level warn --rank 0`, /^/, MATCH_OR_NOT],
  [`npx locmoe logs '| json | step="120"' --run runs/RUN`, /^/, MATCH_OR_NOT],
  [`npx locmoe logs 'sum by (rank) (rate({source="worker"}[1m]))'`, /\{rank="3"\}/],
  ['npx locmoe trace', /^trace-tiny-.*\.json: [\d,]+ events; open it at /],
  ['npx locmoe generate --checkpoint runs/RUN --prompt "The" --domain en', /^The/],
  [
    'npx locmoe generate --checkpoint runs/RUN --prompt "The" --domain en --temperature 0.7 --top-p 0.95',
    /^The/,
  ],
  [
    'echo "The state of" | npx locmoe generate --checkpoint runs/RUN --prompt - --domain en --stop "."',
    /^The state of/,
  ],
  ['npx locmoe generate --checkpoint runs/RUN --interactive --domain en', /^/],
  ['npx locmoe eval --checkpoint runs/RUN', /telecom/],
  ['npx locmoe export --checkpoint runs/RUN --to onnx --output my-onnx', /^ +model\.onnx +[\d.]+ MB$/m],
  [
    'npx locmoe export --checkpoint runs/RUN --to huggingface --output my-model',
    /^ +model\.safetensors +[\d.]+ MB$/m,
  ],
  ['npx locmoe export --checkpoint runs/RUN --to web --output my-page', /^ +index\.html +/m],
  [
    'npx locmoe export --checkpoint runs/RUN --sub-model --domain telecom --output my-telecom',
    /^domain telecom: 2 of 8 experts in each sparse layer, /m,
  ],
];
const CERTS = ['locmoe certs --out tls', 'locmoe certs --out deploy/kubernetes/tls'];
const PLANS = [
  'npx locmoe plan --config small --nodes 4 --workers-per-node 2 --link 100gbps,5us',
  'npx locmoe plan --config tiny --nodes 2 --workers-per-node 2 --shared-machine',
  'npx locmoe plan --config small --nodes 16 --workers-per-node 2 --link 100gbps,5us --set train.globalBatch=64 --set moe.numExperts=32',
];
const DOCTOR: readonly Printing[] = [['npx locmoe doctor', /^ok {4}tensorflow /m]];
const CONFIG: readonly Printing[] = [
  ['npx locmoe config schema > locmoe.schema.json', /^$/],
  ['npx locmoe config show --config tiny', /^ {2}localityFloor: 0.1$/m],
  ['npx locmoe config docs', /^# Configuration$/m],
];
/** Serve until Ctrl-C. */
const PAGES: readonly Printing[] = [
  ['locmoe inspect', /http:\/\/127\.0\.0\.1:\d+/],
  ['locmoe inspect --run tiny-20260102-030405', /http:\/\/127\.0\.0\.1:\d+/],
  ['locmoe inspect --http 0.0.0.0:8080 --token-file tls/token', /:8080/],
  ['npx locmoe api --checkpoint runs/RUN', /:8000\/v1/],
  ['npx locmoe api --checkpoint runs/RUN --host 0.0.0.0 --token-file tls/token', /:8000\/v1/],
];
/** Take minutes, and other tests see them through with less to do; here they get as far as measuring something. */
const BENCHES: readonly Printing[] = [
  ['npx locmoe bench routers --quick', /^hash-seed1: 30 steps$/m],
  ['npx locmoe bench step', /^tiny: 60 steps$/m],
  ['npx locmoe bench collectives --quick', /^ {2}all-to-all 16 KiB: \S+/m],
  ['npx locmoe bench plan --calibrate', /^steps of one worker$/m],
  ['npx locmoe bench plan', /^steps of one worker$/m],
];
/** Says what to install where there is no PyTorch. */
const AGAINST_TORCH = 'npx locmoe bench step --peer torch';

const HERE: readonly string[] = [
  ...[TRAIN, OWN_TEXT, RESUME, FORK, ONE_NODE, HTTP, TENSORBOARD, STOP, FLIGHT, JQ],
  ...[...FOLLOWING, ...CERTS, ...PLANS, AGAINST_TORCH],
  ...[...STATUS, OWN_PROMPT, ...AFTERWARDS, ...DOCTOR, ...CONFIG, ...PAGES, ...BENCHES].map(
    ([command]) => command,
  ),
];
/** What is not run here, and why. */
const ELSEWHERE: readonly (readonly [RegExp, string])[] = [
  [/^npm (run (setup|build|check|check:fast|lint)|test)$/, 'CI runs `npm test`, which is these'],
  [/^npm run format$|^npx vitest run test\/routing$/, 'CI runs the lint and the tests of all files'],
  [/^npm run proto$/, 'generated-types.test.ts holds what it writes to proto/'],
  [/^npm run docs:api$/, 'package.test.ts makes the reference'],
  [/^npx locmoe config docs > docs/, 'test/config/reference.test.ts holds the page to what it prints'],
  [/^npm run quickstart$/, 'set-up and build, which CI runs, then the training with which this file begins'],
  [
    /^npm run package$|^npm install .*locmoe-0\.1\.0\.tgz$/,
    'builds, which CI has done; package.test.ts packs and installs',
  ],
  [/^npx locmoe setup --corpus$/, 'package.test.ts and CI install what it installs'],
  [/^(npx )?locmoe setup --corpus large$/, 'downloads 150 MB; large-corpus.test.ts reads its kinds of files'],
  [
    /^npx locmoe train --config routers-large$/,
    'takes the large corpus; resolve.test.ts resolves every recipe',
  ],
  [/^npx locmoe train --config tiny --init /, 'init.test.ts trains so, from runs with other routers too'],
  [/^npx locmoe train --config tiny --(set model\.numDenseLayers|inherit)/, 'inherit.test.ts trains both'],
  [/^npx locmoe train --init my-telecom$/, 'sub-model.test.ts trains so'],
  [
    /^npx locmoe train --text .* --print-config/,
    'train-text.test.ts trains so, and goes on with what --print-config prints',
  ],
  [
    /^npx locmoe train --instruct |"What is the capital of Brellin\?"$/,
    'fine-tune.test.ts trains and asks so',
  ],
  [/^(npx )?locmoe data inspect /, 'data-inspect.test.ts'],
  [/^npx locmoe eval .*--(cloze|task|compare)\b/, 'eval.test.ts evaluates so, with less to do'],
  [/^npx locmoe doctor --config tiny$/, 'doctor.test.ts tries a smaller configuration so'],
  [/^npx locmoe bench step --peer torch --quick$/, 'bench-step.test.ts runs it with less to do'],
  [/^npx locmoe trace .*--steps /, 'trace.test.ts asks for ranges of steps'],
  [/^npm run bench:(all|observability)/, 'take minutes and hours; they are typechecked'],
  [/^npx locmoe bench routers$/, 'takes hours; bench-routers.test.ts runs it with less to do'],
  [
    /^node scripts\/(chromium|base-image)\.mjs$/,
    'installs Debian packages; CI runs it where there are containers',
  ],
  [/^packages\/bench\/peers\/install\.sh$/, 'installs Debian packages'],
  [/^npx locmoe bench kernels$/, 'bench-kernels.test.ts runs it with less to do'],
  [/^npm run study -- /, 'studies/test/e2e runs them with less to do'],
  [/^npx locmoe bench recovery$/, 'takes two hours; soak.test.ts runs a part of it'],
  [/^npx locmoe chaos /, 'chaos.test.ts injects faults into runs of its own'],
  [
    /^(locmoe (serve|node) --c|locmoe (status|logs|stop) --runs-dir|locmoe generate --checkpoint \/shared)|^export LOCMOE_TLS_DIR/,
    'test/cluster/machines.test.ts',
  ],
  [
    /^scp |^export PATH=\/opt|^locmoe setup$|^locmoe doctor$/,
    'package.test.ts installs and sets up; npx locmoe doctor is run here',
  ],
  [/docker compose /, 'test/cluster/compose.ts and configuration.test.ts'],
  [/^docker (stop|kill)$/, 'named in a sentence; test/cluster/compose.ts does both'],
  [/^docker (swarm|stack|service) |^export LOCMOE_IMAGE|^export VOLUME_TYPE/, 'test/cluster/swarm.ts'],
  [/^kubectl /, 'there is no cluster; test/cluster/configuration.test.ts validates the manifests'],
  [/^logcli |^export LOKI_/, 'foreign; packages/logs/test/loki asks what it asks'],
  [/^curl http:\/\/127\.0\.0\.1:8000\/v1\//, 'api.test.ts and test/api ask the same'],
  [/^lm_eval /, 'foreign; api.test.ts and test/api ask what it asks'],
  [/^tensorboard /, 'foreign; test/metrics/tensorboard reads the files back'],
];

const { commands, names } = documentedCommands();
const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-documented-'));
/** The newest run, for placeholders; known once the first one has begun. */
let runId = 'none';

beforeAll(() => {
  // As after `npm run setup` in a checkout: both ways to type the command lead to what was built.
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(path.join(bin, 'locmoe'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`);
  writeFileSync(path.join(bin, 'npx'), `#!/bin/sh\nexec "$@"\n`);
  for (const name of ['locmoe', 'npx']) chmodSync(path.join(bin, name), 0o755);
  mkdirSync(DATA_DIR, { recursive: true });
  symlinkSync(DATA_DIR, path.join(folder, 'data'));
  mkdirSync(path.join(folder, 'deploy/kubernetes'), { recursive: true });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Types a command into a shell, with the run and the places that its placeholders stand for. */
function type(command: string, env: Readonly<Record<string, string>> = {}): Locmoe {
  const line = command
    .replaceAll(/\bRUN\b|tiny-\d{8}-\d{6}/g, runId)
    .replaceAll(/\bstep-\d{6}/g, newestCheckpoint);
  const PATH = `${path.join(folder, 'bin')}:${process.env.PATH}`;
  // Like an interactive shell, it outlives Ctrl-C and tells how the command ended.
  return new Locmoe([`trap : INT; ${line}`], { PATH, ...env }, ['sh', '-c'], folder);
}

function newestCheckpoint(): string {
  return readdirSync(path.join(folder, 'runs', runId, 'checkpoints'))
    .sort()
    .at(-1)!;
}

async function expectEnd(run: Locmoe, ...codes: readonly number[]): Promise<string> {
  const finished = await run.finished;
  expect(codes, run.output).toContain(finished.code);
  await run.expectNothingLeft();
  return finished.stdout;
}

/** Runs a command to its end, which must print what is expected. */
async function expectPrintedWith([
  command,
  printed,
  codes = [0],
]: (typeof AFTERWARDS)[number]): Promise<void> {
  expect(await expectEnd(type(command), ...codes), command).toMatch(printed);
}

/** The end must be a good one. */
function expectPrinted(printing: Printing): Promise<void> {
  return expectPrintedWith(printing);
}

async function startTraining(command: string): Promise<Locmoe> {
  const run = type(command, UNHURRIED);
  [, runId] = await run.until(/run ([a-z]+-\d\S+):/);
  await run.until(/^step +\d+\/\d+/m);
  return run;
}

describe('README.md and docs', () => {
  it('tell to type nothing but what is run here, or elsewhere', () => {
    const missing = [...commands].filter(
      (command) => !HERE.includes(command) && !ELSEWHERE.some(([pattern]) => pattern.test(command)),
    );
    expect(missing, 'commands that nothing runs').toEqual([]);
    expect(
      HERE.filter((command) => !commands.has(command)),
      'not documented any more',
    ).toEqual([]);
    const unused = ELSEWHERE.filter(([pattern]) => ![...commands].some((command) => pattern.test(command)));
    expect(unused, 'not documented any more').toEqual([]);
  });

  it('end no prompt with a space, which would be a token of its own', () => {
    expect([...commands].filter((command) => /prompt"?:? (["'])[^"']* \1/.test(command))).toEqual([]);
  });

  it('give clusters sizes that their recipe divides into', () => {
    const sizes = [...commands].filter((command) => /\b(NODES|WORKERS)=/.test(command));
    expect(sizes.length).toBeGreaterThan(1);
    for (const command of sizes) {
      const of = (name: string, byDefault: string) =>
        new RegExp(`\\b${name}=(\\S+)`).exec(command)?.[1] ?? byDefault;
      const layout = { nodes: Number(of('NODES', '2')), workersPerNode: Number(of('WORKERS', '2')) };
      expect(() => loadConfig(of('CONFIG', 'tiny'), { sets: [], ...layout }), command).not.toThrow();
    }
  });

  it('name subcommands and scripts that there are', async () => {
    const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    for (const command of commands) {
      const script = /^npm run (\S+)/.exec(command)?.[1];
      if (script !== undefined) expect(Object.keys(scripts)).toContain(script);
      const file = /^(?:node |cp )?((?:scripts|packages|docs)\/\S+)/.exec(command)?.[1];
      if (file !== undefined) expect(existsSync(path.join(ROOT, file)), file).toBe(true);
    }
    await Promise.all(
      [...names].map((name) =>
        expectPrinted([`locmoe ${name} --help`, new RegExp(`^Usage: locmoe ${name} `)]),
      ),
    );
  });
});

describe('a run as README.md tells it', () => {
  it('is trained, watched and stopped', async () => {
    const run = await startTraining(TRAIN);
    const following = FOLLOWING.map((command) => type(command));
    await Promise.all(STATUS.map(expectPrinted));
    for (const { child } of following) expect(child.exitCode).toBe(null);
    await expectPrinted([STOP, /asked the coordinator/]);
    await expectEnd(run, 130);
    for (const logs of following) await expectEnd(logs, ...MATCH_OR_NOT);
  });

  it('answers when it is over', async () => {
    await Promise.all(AFTERWARDS.map(expectPrintedWith));
  });

  it('goes through jq', async ({ skip }) => {
    if (spawnSync('jq', ['--version']).error !== undefined) skipLoudly(skip, 'no jq');
    await expectPrinted([JQ, /^"checkpoint saved"$/m]);
  });

  it('is resumed, loses a worker, goes on by itself, and explains what happened', async () => {
    const run = await startTraining(RESUME);
    process.kill(run.pidsOf('worker')[0], 'SIGKILL');
    await run.until(/^recovered: /m);
    run.interrupt();
    await expectEnd(run, 130);
    await expectPrinted([FLIGHT, /rank/]);
  });

  it('is branched', async () => {
    const from = runId;
    const run = await startTraining(FORK);
    expect(runId).not.toBe(from);
    run.interrupt();
    await expectEnd(run, 130);
  });

  it('serves metrics, and writes events', async () => {
    const run = await startTraining(HTTP);
    const { headers } = await run.http();
    const metrics = await fetch('http://127.0.0.1:9464/metrics', { headers });
    expect(await metrics.text()).toContain('locmoe_step');
    run.interrupt();
    await expectEnd(run, 130);

    const recorded = await startTraining(TENSORBOARD);
    expect(readdirSync(path.join(folder, 'events', runId))).toEqual([
      expect.stringMatching(/^events\.out\.tfevents\./),
    ]);
    recorded.interrupt();
    await expectEnd(recorded, 130);
  });

  it('has one node if told so', async () => {
    const run = await startTraining(ONE_NODE);
    expect(run.output).toMatch(/^step +\d+\/200/m);
    expect(run.pidsOf('worker')).toHaveLength(4);
    expect(run.pidsOf('agent')).toHaveLength(1);
    run.interrupt();
    await expectEnd(run, 130);
  });
});

describe('text of your own', () => {
  it('is trained on, and continued', async () => {
    cpSync(path.join(ROOT, 'docs/architecture.md'), path.join(folder, 'notes/2026/architecture.txt'));
    const run = await startTraining(OWN_TEXT);
    run.interrupt();
    await expectEnd(run, 130);
    await expectPrinted(OWN_PROMPT);
  });
});

describe('the other commands', () => {
  it('make certificates', async () => {
    for (const command of CERTS) await expectPrinted([command, /token/]);
  });

  it.each([...DOCTOR, ...CONFIG])('%s', async (command, printed) => {
    await expectPrinted([command, printed]);
  });

  it.each(PLANS)('%s', async (command) => {
    await expectPrinted([command, /^step [\d.]+ ms, [\d,]+ tokens\/s$/m]);
  });

  it.each(PAGES)('%s', async (command, printed) => {
    const page = type(command);
    await page.until(printed);
    page.interrupt();
    await expectEnd(page, 0);
  });

  it.each(BENCHES)('%s', async (command, printed) => {
    const bench = type(command);
    await bench.until(printed);
    bench.interrupt();
    await expectEnd(bench, 130);
  });

  it(AGAINST_TORCH, async () => {
    const bench = type(AGAINST_TORCH);
    const [begun] = await bench.until(/^PyTorch \S+ of |bench\/peers\/install\.sh/m);
    const isMeasuring = begun.startsWith('PyTorch');
    if (isMeasuring) bench.interrupt();
    await expectEnd(bench, isMeasuring ? 130 : 2);
  });
});
